/** Carries the steps of a change out on a running HAProxy, and deletes retired servers once they are idle. */
import type { Session } from './cli.ts';
import { CommandError } from './cli.ts';
import { parseStat } from './counters.ts';
import type { Step } from './diff.ts';
import { type Busy, placeKey } from './state.ts';

/** Path of a server that gets no new requests → where it is. */
export type Retiring = Map<string, { readonly slot: number; readonly place: number | undefined }>;

export function busyOf(retiring: Retiring): Busy {
  const all = [...retiring.values()];
  return {
    slots: new Set(all.map(({ slot }) => slot)),
    places: new Set(all.flatMap(({ slot, place }) => (place === undefined ? [] : placeKey(slot, place)))),
  };
}

/**
 * @param retiring is changed along with HAProxy
 * @throws CommandError when HAProxy refuses a step; what it has then is known only after a reload
 */
export async function applySteps(
  session: Session,
  steps: readonly Step[],
  retiring: Retiring,
): Promise<void> {
  for (const step of steps) {
    switch (step.do) {
      case 'add-server':
        if (retiring.delete(step.path)) {
          await limitServer(session, step);
          await session.run(`set server ${step.path} state ready`);
          break;
        }
        await session.run(`add server ${step.path} ${step.options}`, /^New server registered\.$/);
        if (step.checked) await session.run(`enable health ${step.path}`);
        if (step.limit !== undefined) await limitServer(session, step);
        await session.run(`enable server ${step.path}`);
        break;
      case 'place-server':
        retiring.delete(step.path);
        await session.run(
          `set server ${step.path} addr ${step.address} port ${step.port}`,
          /^IP changed|^port changed|^no need to change/,
        );
        if (step.checkPort !== undefined)
          await session.run(
            `set server ${step.path} check-port ${step.checkPort}`,
            /^(health check port updated\.)?$/,
          );
        await limitServer(session, step);
        await session.run(`${step.checkPort === undefined ? 'disable' : 'enable'} health ${step.path}`);
        await session.run(`set server ${step.path} state ready`);
        break;
      case 'limit-server':
        await limitServer(session, step);
        break;
      case 'retire-server':
        await session.run(`set server ${step.path} state maint`);
        retiring.set(step.path, { slot: step.slot, place: step.place });
        break;
      case 'add-entries':
        await session.runWith(
          `add map ${step.map}`,
          step.entries.map(([key, value]) => `${key} ${value}`),
        );
        break;
      case 'set-entry':
        await session.run(`set map ${step.map} ${step.key} ${step.value}`);
        break;
      case 'delete-entries':
        for (const key of step.keys) await session.run(`del map ${step.map} ${key}`);
        break;
      default:
        step satisfies never;
    }
  }
}

/** To HAProxy, 0 is no limit. */
async function limitServer(
  session: Session,
  { path, limit = 0 }: { readonly path: string; readonly limit: number | undefined },
): Promise<void> {
  await session.run(`set maxconn server ${path} ${limit}`);
}

/** Deletes the retired servers, or frees the places, that have nothing in flight. The rest stays for the next time. */
export async function sweep(session: Session, retiring: Retiring): Promise<void> {
  for (const [path, { place }] of [...retiring]) {
    if (place !== undefined) {
      if (await isIdle(session, path)) retiring.delete(path);
      continue;
    }
    try {
      await session.run(`del server ${path}`, /^Server deleted\.$|^No such server\.$/);
      retiring.delete(path);
    } catch (error) {
      if (!(error instanceof CommandError) || !/connection|in use|check/i.test(error.message)) throw error;
    }
  }
}

async function isIdle(session: Session, path: string): Promise<boolean> {
  const [backend, name] = path.split('/');
  const rows = parseStat(await session.run(`show stat ${backend} 4 -1`, /^#/), ['svname', 'scur']);
  const row = rows.find((one) => one.svname === name);
  return row === undefined || row.scur === '0';
}
