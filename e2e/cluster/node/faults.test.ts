/** The node while the API server refuses, forgets, stalls and hangs up: in the end all is as if nothing had been. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, it } from 'node:test';
import { resources } from '../../../kube-client/resources.ts';
import type { FaultAction } from '../api/faults.ts';
import type { Pod, PodSpec } from './pod.ts';
import { type Served, serveNode } from './testing-server.ts';

const namespace = 'default';
const marker = `faults-${process.pid}`;
let served: Served;

before(async () => {
  served = await serveNode(83, { restartBackOff: { initial: 100, max: 500 }, retry: 100 });
});

after(() => served.stop());

function processes(): number {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, 'latin1').includes(marker);
    } catch {
      return false;
    }
  }).length;
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 40_000;
  while (!(await holds())) {
    if (Date.now() > deadline) {
      const { items } = await served.client.list<Pod>(resources.pods, { namespace });
      assert.fail(
        `never came: ${what}\n${JSON.stringify(items.map(({ metadata, status }) => [metadata.name, status]))}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

it('brings every pod to its end, and leaves nothing behind', { timeout: 120_000 }, async (context) => {
  const { client, server, user } = served;
  const actions: FaultAction[] = [
    { type: 'status', code: 500 },
    { type: 'status', code: 503 },
    { type: 'status', code: 409 },
    { type: 'status', code: 429 },
    { type: 'drop' },
    { type: 'dropAnswer' },
    { type: 'delay', milliseconds: 150 },
  ];
  // Every third request of the node meets a fault, and its watches are cut, frozen and outdated again and again.
  let requests = 0;
  const unobserve = server.faults.observe((facts) => {
    const action = actions[Math.floor(requests / 3) % actions.length];
    if (facts.user === user && requests++ % 3 === 0 && action) {
      server.faults.add({ match: { user }, action, times: 1 });
    }
  });
  let round = 0;
  const disturbing = setInterval(() => {
    if (round % 5 === 0) server.faults.closeWatches({ user }, true);
    if (round % 7 === 3) server.faults.freezeWatches({ user });
    if (round % 7 === 5) server.faults.thawWatches({ user });
    if (round % 11 === 0) server.faults.compact();
    round++;
  }, 100);
  const calm = () => {
    clearInterval(disturbing);
    unobserve();
    server.faults.clear();
  };
  context.after(calm);
  const codes = {
    lasting: 'trap "exit 0" TERM; while :; do sleep 0.05; done',
    finite: 'sleep 0.3; exit 0',
    failing: 'exit 3',
    crashing: 'sleep 0.1; exit 1',
  };
  const names: string[] = [];
  for (let index = 0; index < 16; index++) {
    const [kind, code] = Object.entries(codes)[index % 4] ?? ['', ''];
    const spec: PodSpec = {
      nodeName: 'n1',
      restartPolicy: kind === 'finite' || kind === 'failing' ? 'Never' : 'Always',
      terminationGracePeriodSeconds: 3,
      containers: [{ name: 'c', image: 'test/sh', args: [code], env: [{ name: 'MARKER', value: marker }] }],
    };
    names.push(`${kind}-${index}`);
    await client.create(resources.pods, namespace, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `${kind}-${index}`, namespace },
      spec,
    });
  }
  const phases = async () => {
    const { items } = await client.list<Pod>(resources.pods, { namespace });
    return new Map(items.map((pod) => [pod.metadata.name, pod]));
  };
  const wanted = { lasting: 'Running', finite: 'Succeeded', failing: 'Failed', crashing: 'Running' } as const;
  await until('phases', async () => {
    const pods = await phases();
    return names.every(
      (name) => pods.get(name)?.status?.phase === wanted[name.split('-')[0] as keyof typeof wanted],
    );
  });
  await until('restarts', async () => {
    const pods = await phases();
    return names
      .filter((name) => name.startsWith('crashing'))
      .every((name) => (pods.get(name)?.status?.containerStatuses?.[0]?.restartCount ?? 0) >= 2);
  });
  for (const name of names) {
    await client.delete(resources.pods, namespace, name, name.endsWith('0') ? { gracePeriodSeconds: 0 } : {});
  }
  calm();
  await until('all gone', async () => (await phases()).size === 0);
  await until('no process', async () => processes() === 0);
});
