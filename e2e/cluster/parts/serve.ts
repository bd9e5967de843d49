import { inspect } from 'node:util';
import type { Answer, Order } from './part.ts';

export interface Served {
  /** What the starter is told: anything that survives a structured clone. */
  readonly value: unknown;
  /** What the starter can have done, by name. */
  readonly calls?: Readonly<Record<string, (argument: unknown) => Promise<void>>>;
  stop(): Promise<void>;
}

/** How long an orphaned part may take to end in good order, in milliseconds. */
const orphanMs = 20_000;

/** The other side of `startPart`: runs `start` when told to, and ends when told to or when the starter is gone. */
export function servePart(start: (options: unknown) => Promise<Served>): void {
  let served: Promise<Served> | undefined;
  let ending = false;

  const answer = (message: Answer): void => {
    if (process.connected) process.send?.(message, () => {});
  };

  const end = async (): Promise<void> => {
    if (ending) return;
    ending = true;
    setTimeout(() => process.exit(1), orphanMs).unref();
    try {
      await (await served)?.stop();
    } catch (error) {
      console.error('not ended in good order', inspect(error));
    }
    process.exit(0);
  };

  process.on('message', (order: Order) => {
    switch (order.kind) {
      case 'start':
        served = start(order.options);
        served.then(
          ({ value }) => answer({ kind: 'ready', value }),
          (error: unknown) => {
            console.error(inspect(error));
            served = undefined;
            answer({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
          },
        );
        return;
      case 'call':
        void (async () => {
          const call = (await served)?.calls?.[order.name];
          if (call === undefined) throw new Error(`it cannot ${order.name}`);
          await call(order.argument);
        })().then(
          () => answer({ kind: 'result', id: order.id }),
          (error: unknown) => answer({ kind: 'result', id: order.id, error: String(error) }),
        );
        return;
      case 'stop':
        void end();
    }
  });
  process.on('disconnect', () => void end());
  // The starter decides; these come to everybody in a terminal at once.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
  process.on('SIGTERM', () => void end());
}
