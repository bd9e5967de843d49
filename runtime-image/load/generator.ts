/**
 * Sends requests: closed loop (each of n senders waits for its answer) or open loop (requests leave at a fixed rate,
 * and their latency counts from the moment they were due, so that a slow server cannot hide behind a waiting client).
 */
import { setTimeout as after } from 'node:timers/promises';
import { type Answer, type Client, RequestFailed } from './client.ts';
import { mismatch } from './expectation.ts';
import type { Plan } from './plan.ts';
import type { Tensor } from './tensor.ts';

export interface Load {
  readonly plan: Plan;
  readonly model: string;
  /** Version to pin. */
  readonly version: string | undefined;
  readonly timeoutMs: number;
  /** Senders of a closed loop; most requests under way of an open one. */
  readonly concurrency: number;
  /** Requests a second of an open loop; absent means a closed one. */
  readonly rate: number | undefined;
  /** Requests (of a sequence: passes) to send; absent means until stopped. */
  readonly count: number | undefined;
}

export interface Observer {
  answered(answer: Answer, step: number, ms: number): void;
  failed(error: unknown, step: number, ms: number): void;
}

/** Sends until `count` is reached or `signal` aborts, and resolves when nothing is under way any more. */
export async function generate(
  client: Client,
  load: Load,
  observer: Observer,
  signal: AbortSignal,
): Promise<void> {
  let started = 0;
  const more = () => !signal.aborted && (load.count === undefined || started < load.count);
  const pass = (due: number) => {
    started += 1;
    return sendPass(client, load, `${started}`, due, observer, signal);
  };
  if (load.rate === undefined) {
    const sender = async () => {
      while (more()) await pass(performance.now());
    };
    await Promise.all(Array.from({ length: load.concurrency }, sender));
    return;
  }

  const underWay = new Set<Promise<void>>();
  const start = performance.now();
  const interval = 1000 / load.rate;
  for (let index = 0; more(); index += 1) {
    const due = start + index * interval;
    const early = due - performance.now();
    if (early > 1) await after(early, undefined, { signal }).catch(() => undefined);
    while (underWay.size >= load.concurrency) await Promise.race(underWay);
    if (!more()) break;
    const sent = pass(due).finally(() => underWay.delete(sent));
    underWay.add(sent);
  }
  await Promise.all(underWay);
}

/** One pass over the steps of the plan. Steps after a failed one have nothing to carry on, so they are not sent. */
async function sendPass(
  client: Client,
  load: Load,
  id: string,
  due: number,
  observer: Observer,
  signal: AbortSignal,
): Promise<void> {
  const { plan, model, version, timeoutMs } = load;
  let carried: ReadonlyMap<string, Tensor> = new Map();
  for (let step = 0; step < plan.steps; step += 1) {
    // A sequence may be long; one request is always finished.
    if (step > 0 && signal.aborted) return;
    const begun = step === 0 ? due : performance.now();
    try {
      const inputs = plan.inputs(step).map((tensor) => carried.get(tensor.name) ?? tensor);
      const answer = await client.infer({ model, version, id: `${id}.${step}`, inputs }, timeoutMs);
      checkAnswer(plan, step, version, answer);
      observer.answered(answer, step, performance.now() - begun);
      carried = carry(plan, answer);
    } catch (error) {
      observer.failed(error, step, performance.now() - begun);
      return;
    }
  }
}

function checkAnswer(plan: Plan, step: number, pinned: string | undefined, answer: Answer): void {
  const { version, outputs } = answer;
  if (pinned !== undefined && version !== pinned) {
    throw new RequestFailed(
      'wrong-version',
      `version ${pinned} was asked, ${version ?? 'unknown'} answered`,
      {
        version,
      },
    );
  }
  const wrong = mismatch(plan.expect, step, version, outputs);
  if (wrong !== undefined) throw new RequestFailed('wrong-answer', wrong, { version });
}

function carry(plan: Plan, answer: Answer): ReadonlyMap<string, Tensor> {
  return new Map(
    plan.carry.map(({ output, input }) => {
      const tensor = answer.outputs.find(({ name }) => name === output);
      if (tensor === undefined) {
        throw new RequestFailed('wrong-answer', `the answer has no output ${output} to carry over`, {
          version: answer.version,
        });
      }
      return [input, { ...tensor, name: input }];
    }),
  );
}
