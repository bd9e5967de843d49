/**
 * PURE: what may happen while a reload is put off. Every reload leaves a process behind that finishes what is under way,
 * for up to an hour; changes of rules that come in a burst are taken together, so that few processes are left. All other
 * changes, and above all those that take traffic away, wait for nothing.
 */
import type { Inputs, ModelInput } from './state.ts';

/** Processes that may be left behind before a reload is put off. */
const freeReloads = 2;

/** How long after the last reload the next one comes, while so many former processes are still busy. */
export function paceMs(former: number): number {
  return former < freeReloads ? 0 : 1_000 * 2 ** Math.min(former - freeReloads, 4);
}

/**
 * What is wanted, by the rules that are applied. A model whose rules are to change keeps the generation too, since
 * nobody may take the change for done; one that is new and has rules is not there yet, one that had rules is still there.
 */
export function withFormerRules(wanted: Inputs, applied: Inputs): Inputs {
  const former = new Map(applied.models.map((model) => [model.uid, model]));
  const models = wanted.models.flatMap((model): ModelInput[] => {
    const before = former.get(model.uid);
    if (before === undefined) return model.policy === undefined ? [model] : [];
    if (sameRules(model, before)) return [model];
    const { policy: _, ...rest } = model;
    const { policy, name, port, generation } = before;
    return [{ ...rest, name, port, generation, ...(policy === undefined ? {} : { policy }) }];
  });
  const taken = new Set([...wanted.models.map(({ uid }) => uid), ...models.map(({ port }) => `${port}`)]);
  const gone = applied.models.filter(
    ({ uid, port, policy }) => policy !== undefined && !taken.has(uid) && !taken.has(`${port}`),
  );
  return { models: [...models, ...gone], endpoints: wanted.endpoints };
}

const sameRules = (a: ModelInput, b: ModelInput): boolean =>
  JSON.stringify([a.name, a.port, a.policy]) === JSON.stringify([b.name, b.port, b.policy]);
