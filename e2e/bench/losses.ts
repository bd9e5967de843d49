/** What clients lose when a pod is killed: behind the router, and behind HAProxy with and without retries, in turns. */
import { grpcLoad, httpLoad, request, until } from '../../runtime-image/router/testing/client.ts';
import { Pod } from '../../runtime-image/router/testing/pod.ts';
import { World } from '../../runtime-image/router/testing/world.ts';
import { startBareHaproxy } from './proxies.ts';

export interface Losses {
  readonly name: 'router' | 'bare HAProxy' | 'HAProxy that retries';
  readonly kills: number;
  readonly requests: number;
  /** Requests that had an error instead of an answer. */
  readonly lost: number;
}

const addresses = ['127.63.1.1', '127.63.1.2'] as const;
/** Of each kind: over HTTP/1.1 with a connection each, over gRPC on one. */
const clients = 32;
/** Milliseconds that a pod takes for an answer, so that it has requests when it dies. */
const delayMs = 2;
const answersBefore = 500;
const answersAfter = 200;

/** Kills one of two pods under load, and starts it again, so many times behind each. */
export async function measureLosses(kills: number): Promise<Losses[]> {
  await using stack = new AsyncDisposableStack();
  const world = await World.start({ threads: 1 });
  stack.defer(() => world.stop());
  const servers = [addresses, addresses] as const;
  const sides = [
    ['router', world.address],
    ['bare HAProxy', stack.use(await startBareHaproxy({ retries: false, servers })).address],
    ['HAProxy that retries', stack.use(await startBareHaproxy({ retries: true, servers })).address],
  ] as const;
  const found = sides.map(([name]) => ({ name, kills, requests: 0, lost: 0 }));
  for (let kill = 0; kill < kills; kill++) {
    for (const [index, [, address]] of sides.entries()) {
      const outcomes = await killUnderLoad(world, address);
      for (const [outcome, count] of outcomes) {
        found[index]!.requests += count;
        // An HTTP status, or one of gRPC.
        if (!/^(200|0)( |$)/.test(outcome)) found[index]!.lost += count;
      }
    }
  }
  return found;
}

/** What the clients had for answers, by kind. The load begins when both pods are known to be there. */
async function killUnderLoad(world: World, address: string): Promise<[outcome: string, count: number][]> {
  const [survivor, victim] = addresses.map((each) => new Pod('1.0.0', each, { delayMs })) as [Pod, Pod];
  await Promise.all([survivor.start(), victim.start()]);
  await world.split({ '1.0.0': 100 }, [survivor, victim]);
  const bothAnswer = async () => {
    await request(address, '/v2/models/m/infer', { body: '{}' });
    return survivor.answered > 0 && victim.answered > 0;
  };
  await until(bothAnswer, 'both pods answer', 20_000);
  const loads = [httpLoad(address, clients), grpcLoad(address, clients)];
  const go = (answers: number) => {
    const before = loads.map(({ count }) => count);
    return until(() => loads.every(({ count }, index) => count > before[index]! + answers), 'load', 20_000);
  };
  await go(answersBefore);
  await victim.kill();
  await go(answersAfter);
  const outcomes = await Promise.all(loads.map((load) => load.stop()));
  await survivor.kill();
  return outcomes.flatMap((counts) => Object.entries(counts));
}
