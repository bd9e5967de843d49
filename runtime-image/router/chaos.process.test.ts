/**
 * Random changes under load: weights, pods that come, leave and crash, versions and reloads. No request fails, and
 * shares stay exact. `npm run test:chaos` makes a thousand changes; SLUICE_CHAOS_CHANGES and SLUICE_CHAOS_SEED set how
 * many, and repeat a run.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grpcLoad, httpLoad, until } from './testing/client.ts';
import type { Pod } from './testing/pod.ts';
import { World } from './testing/world.ts';

const changes = Number(process.env['SLUICE_CHAOS_CHANGES'] ?? 40);
const seed = Number(process.env['SLUICE_CHAOS_SEED'] ?? Date.now() % 1e9);

/** mulberry32: small, and the same everywhere. */
function random(state: number): () => number {
  let a = state;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

test(`no request fails over ${changes} random changes (seed ${seed})`, {
  timeout: 120_000 + changes * 2_000,
}, async () => {
  const next = random(seed);
  const below = (limit: number) => Math.floor(next() * limit);
  const world = await World.start();
  const live: Pod[] = [];
  let weights: Record<string, number> = {};
  let generation = 0;
  const done: Record<string, number> = {};
  const history: string[] = [];

  const versions = () => [...new Set(live.map((pod) => pod.version))];
  /** Shares of the versions that have pods; stable, the first, has the rest. */
  const reweigh = () => {
    const [stable, ...others] = versions();
    weights = { [stable!]: 0 };
    let left = 10_000;
    for (const version of others) {
      const units = below(left + 1);
      weights[version] = units / 100;
      left -= units;
    }
    weights[stable!] = left / 100;
  };
  /** Requests so far that another version answered in place of the one that was drawn. */
  const fallbacks = async () => {
    await world.monitor.refresh();
    const versions = world.monitor.report().flatMap((model) => model.versions);
    return versions.reduce((sum, version) => sum + version.fallbacks, 0);
  };
  const add = async (version: string) => {
    live.push(await world.pod(version, { delayMs: below(3) }));
  };
  const actions: Record<string, () => Promise<void>> = {
    weights: async () => reweigh(),
    'add a pod': async () => {
      if (live.length < 12) await add(versions()[below(versions().length)]!);
    },
    'add a version': async () => {
      if (versions().length >= 4) return;
      await add(`${++generation}.0.0`);
      await world.split(weights, live);
      reweigh();
    },
    'remove a pod': async () => {
      if (live.length < 3) return;
      const [gone] = live.splice(below(live.length), 1);
      if (!versions().includes(gone!.version)) reweigh();
      await world.split(weights, live);
      await until(() => gone!.idle, 'the pod is idle');
      await gone!.kill();
    },
    'crash a pod': async () => {
      if (live.length < 3) return;
      const at = below(live.length);
      await live[at]!.kill();
      const [gone] = live.splice(at, 1);
      // The API notices after a while.
      await new Promise((resolve) => setTimeout(resolve, below(100)));
      if (!versions().includes(gone!.version)) reweigh();
    },
    reload: () => world.agent.reload('asked to'),
    'measure shares': async () => {
      const wanted = { ...weights };
      await world.split(wanted, live);
      const passedOn = await fallbacks();
      const load = httpLoad(world.address, 8);
      await until(() => load.count >= 1000, 'a thousand requests', 60_000);
      const counts = await load.stop();
      const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
      // What a version could not answer is no error of the split; it is counted, and allowed for.
      const excused = (await fallbacks()) - passedOn;
      for (const [version, weight] of Object.entries(wanted)) {
        const share = weight / 100;
        const allowed = 5 * Math.sqrt(share * (1 - share) * total) + excused;
        const found = counts[`200 ${version}`] ?? 0;
        assert.ok(
          Math.abs(found - share * total) <= allowed,
          `${version}: ${found} of ${total} at ${weight} %, ± ${allowed}`,
        );
      }
    },
  };
  const names = [
    'weights',
    'weights',
    'weights',
    'add a pod',
    'add a pod',
    'add a version',
    'remove a pod',
    'crash a pod',
    'reload',
    'measure shares',
  ];

  try {
    await add('0.0.0');
    await add('0.0.0');
    weights = { '0.0.0': 100 };
    await world.split(weights, live);
    const loads = [httpLoad(world.address, 8), grpcLoad(world.address, 8)];
    await until(() => loads.every((load) => load.count > 20), 'load');
    for (let i = 0; i < changes; i++) {
      const name = names[below(names.length)]!;
      history.push(name);
      done[name] = (done[name] ?? 0) + 1;
      await actions[name]!();
      await world.split(weights, live);
      const counts = loads.map((load) => load.count);
      await until(() => loads.every((load, index) => load.count > counts[index]! + 3), `load after ${name}`);
    }
    const outcome = Object.assign({}, ...(await Promise.all(loads.map((load) => load.stop()))));
    const bad = Object.entries(outcome).filter(([key]) => !/^(200|0) \d+\.0\.0$/.test(key));
    const restarts = world.events.filter((event) => event.kind === 'restart' || event.kind === 'failure');
    assert.deepEqual(restarts, [], JSON.stringify({ outcome, done, last: history.slice(-10) }));
    assert.deepEqual(bad, [], JSON.stringify({ outcome, done, last: history.slice(-10) }));
    const total = Object.values<number>(outcome).reduce((sum, count) => sum + count, 0);
    console.log(`${total} requests, ${JSON.stringify(done)}`);
  } finally {
    await world.stop();
  }
});
