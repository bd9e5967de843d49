/** Carries the steps of a change out on a running HAProxy, and deletes retired servers once they are idle. */
import type { Session } from './cli.ts';
import { CommandError } from './cli.ts';
import type { Step } from './diff.ts';

/** Path of a server that gets no new requests → its slot. */
export type Retiring = Map<string, number>;

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
          await session.run(`set server ${step.path} state ready`);
          break;
        }
        await session.run(`add server ${step.path} ${step.options}`, /^New server registered\.$/);
        if (step.checked) await session.run(`enable health ${step.path}`);
        await session.run(`enable server ${step.path}`);
        break;
      case 'retire-server':
        await session.run(`set server ${step.path} state maint`);
        retiring.set(step.path, step.slot);
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

/** Deletes the retired servers that have nothing in flight. Those that do stay for the next time. */
export async function sweep(session: Session, retiring: Retiring): Promise<void> {
  for (const path of [...retiring.keys()]) {
    try {
      await session.run(`del server ${path}`, /^Server deleted\.$|^No such server\.$/);
      retiring.delete(path);
    } catch (error) {
      if (!(error instanceof CommandError) || !/connection|in use|check/i.test(error.message)) throw error;
    }
  }
}
