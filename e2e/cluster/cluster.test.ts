/**
 * The local cluster as people use it: with the real kubectl. The same must hold whoever plays the API server, the
 * controllers and the scheduler; with KUBEBUILDER_ASSETS, start this by `node e2e/cluster/launch.ts node --test …`.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { clients } from '../tools/tools.ts';
import { type Cluster, startCluster } from './cluster.ts';

const run = promisify(execFile);
let cluster: Cluster;
let program: string;

before(async () => {
  ({ kubectl: program } = await clients(() => {}));
  cluster = await startCluster({ nodeGraceMs: 12_000 });
});
after(() => cluster?.stop());

/** Runs kubectl in a namespace; resolves to what it printed. */
async function kubectl(namespace: string, line: string, input?: object): Promise<string> {
  const child = run(program, ['-n', namespace, ...line.split(' ')], {
    env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
  });
  child.child.stdin?.end(input === undefined ? '' : JSON.stringify(input));
  return (await child).stdout;
}

async function inNamespace(
  name: string,
  work: (k: (line: string, input?: object) => Promise<string>) => Promise<void>,
) {
  await kubectl('default', `create namespace ${name}`);
  try {
    await work((line, input) => kubectl(name, line, input));
  } finally {
    await kubectl('default', `delete namespace ${name} --timeout=60s`);
  }
}

/** A pod template whose process answers HTTP with `answer` and drains when told to end. */
function server(answer: string, more: object = {}): object {
  const code = [
    'const s = require("node:http").createServer((_, r) => { r.setHeader("connection", "close"); r.end(process.env.ANSWER); })',
    's.listen(8080, process.env.POD_IP)',
    'process.on("SIGTERM", () => setTimeout(() => s.close(), 300))',
    'console.log("serving " + process.env.ANSWER)',
  ].join(';');
  return {
    metadata: { labels: { app: 'web' } },
    spec: {
      containers: [
        {
          name: 'web',
          image: 'sluice/runtime',
          command: [process.execPath, '-e', code],
          env: [
            { name: 'ANSWER', value: answer },
            { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
          ],
          ports: [{ name: 'http', containerPort: 8080 }],
          readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 },
        },
      ],
      ...more,
    },
  };
}

function deployment(replicas: number, template: object): object {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web' },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      template,
    },
  };
}

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web' },
  spec: { selector: { app: 'web' }, ports: [{ port: 8000, targetPort: 'http' }] },
};

describe('with kubectl', { concurrency: 4 }, () => {
  test('a rollout reaches its end, is undone, and loses no request on the way', () =>
    inNamespace('rollouts', async (k) => {
      await k('apply -f -', service);
      await k('apply -f -', deployment(2, server('one')));
      assert.match(await k('rollout status deployment/web --timeout=60s'), /successfully rolled out/);
      await k('wait deployment/web --for=condition=Available --timeout=5s');
      const address = await k('get service web -o jsonpath={.spec.clusterIP}');
      const seen = new Map<string, number>();
      const ask = async () => {
        const answer = await (await fetch(`http://${address}:8000/`)).text();
        seen.set(answer, (seen.get(answer) ?? 0) + 1);
      };
      await ask();
      const stop = new AbortController();
      const asking = (async () => {
        while (!stop.signal.aborted) await ask();
      })();
      await k('apply -f -', deployment(2, server('two')));
      await k('rollout status deployment/web --timeout=60s');
      await k('rollout undo deployment/web');
      await k('rollout status deployment/web --timeout=60s');
      stop.abort();
      await asking;
      assert.deepEqual([...seen.keys()].sort(), ['one', 'two']);
      const history = await k('rollout history deployment/web');
      assert.deepEqual(history.match(/^\d+/gm), ['2', '3']);
      assert.match(await k('logs deployment/web'), /serving (one|two)/);
      await k('scale deployment/web --replicas=0');
      await k('wait pod -l app=web --for=delete --timeout=30s');
      assert.equal(
        await k(
          'get endpointslices -l kubernetes.io/service-name=web -o jsonpath={.items[*].endpoints[*].addresses[*]}',
        ),
        '',
      );
    }));

  test('a Job ends, and what it said can be read', () =>
    inNamespace('jobs', async (k) => {
      const containers = [
        { name: 'work', image: 'sluice/runtime', command: ['sh', '-c', 'echo it is done'] },
      ];
      await k('apply -f -', {
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name: 'work' },
        spec: { completions: 2, template: { spec: { restartPolicy: 'Never', containers } } },
      });
      await k('wait job/work --for=condition=Complete --timeout=60s');
      assert.match(await k('logs job/work'), /it is done/);
      await k('delete job work');
      await k('wait pod -l job-name=work --for=delete --timeout=30s');
    }));

  test('deletion takes dependents along, waits for them, or leaves them', () =>
    inNamespace('deletion', async (k) => {
      const pods = () => k('get pods -o name');
      await k('apply -f -', deployment(1, server('x')));
      await k('rollout status deployment/web --timeout=60s');
      await k('delete deployment web --cascade=orphan');
      assert.match(await k('get replicasets -o name'), /replicaset/);
      assert.match(await pods(), /pod\/web/);
      await k('apply -f -', deployment(1, server('x')));
      await k('rollout status deployment/web --timeout=60s');
      assert.equal(
        (await k('get replicasets -o name')).trim().split('\n').length,
        1,
        'the orphan was not adopted',
      );
      await k('delete deployment web --cascade=foreground --timeout=30s');
      assert.equal(await k('get replicasets -o name'), '');
      await k('wait pod --all --for=delete --timeout=30s').catch((error: unknown) =>
        assert.match(String(error), /no matching resources/),
      );
    }));

  test('a pod that fits nowhere says why', () =>
    inNamespace('scheduling', async (k) => {
      const resources = { limits: { 'nvidia.com/gpu': '5' } };
      await k('apply -f -', {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'greedy' },
        spec: {
          tolerations: [{ key: 'nvidia.com/gpu', operator: 'Exists' }],
          containers: [{ name: 'c', image: 'sluice/runtime', command: ['sleep', '60'], resources }],
        },
      });
      await k('wait pod/greedy --for=condition=PodScheduled=False --timeout=30s');
      const message = await k(
        'get pod greedy -o jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}',
      );
      assert.match(message, /^0\/3 nodes are available: 3 Insufficient nvidia\.com\/gpu\. /);
      await k(
        'wait event --for=jsonpath={.reason}=FailedScheduling --field-selector=involvedObject.name=greedy --timeout=30s',
      );
    }));

  test('a node that dies is noticed, its pods are replaced, and it can come back', () =>
    inNamespace('nodes', async (k) => {
      const nodes = cluster.nodes ?? assert.fail('the nodes are not ours');
      const tolerations = [
        { key: 'nvidia.com/gpu', operator: 'Exists' },
        ...['not-ready', 'unreachable'].map((name) => ({
          key: `node.kubernetes.io/${name}`,
          operator: 'Exists',
          effect: 'NoExecute',
          tolerationSeconds: 0,
        })),
      ];
      const resources = { limits: { 'nvidia.com/gpu': '4' } };
      const template = server('x', { tolerations }) as { spec: { containers: object[] } };
      const [container] = template.spec.containers;
      template.spec.containers = [{ ...container, resources }];
      await k('apply -f -', deployment(1, template));
      await k('rollout status deployment/web --timeout=60s');
      const first = await k('get pods -o jsonpath={.items[0].spec.nodeName}');
      await nodes.kill(first);
      await k(`wait node/${first} --for=condition=Ready=Unknown --timeout=60s`);
      await k('rollout status deployment/web --timeout=60s');
      const where = await k('get pods -o jsonpath={.items[*].spec.nodeName}');
      assert.deepEqual(new Set(where.split(' ')), new Set(['gpu-0', 'gpu-1']));
      await nodes.start(first);
      await k(`wait node/${first} --for=condition=Ready --timeout=60s`);
    }));
});

test('nothing outlives a starter that is killed', async () => {
  const module = fileURLToPath(new URL('./cluster.ts', import.meta.url));
  const code = `import { startCluster } from ${JSON.stringify(module)};
    const { kubeconfig } = await startCluster({ nodes: [] });
    console.log(kubeconfig);
    setInterval(() => {}, 1000);`;
  const starter = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = starter.pid ?? assert.fail('not started');
  const kubeconfig = await new Promise<string>((resolve, reject) => {
    starter.once('exit', (exitCode) => reject(new Error(`the starter ended with ${exitCode}`)));
    starter.stdout.setEncoding('utf8').once('data', (text: string) => resolve(text.trim()));
  });
  assert.ok(kubeconfig.endsWith('kubeconfig'));
  const family = descendants(pid);
  assert.ok(family.length >= 2, `only ${family.length} processes`);
  starter.kill('SIGKILL');
  const deadline = performance.now() + 25_000;
  while (family.some((one) => startOf(one.pid) === one.started)) {
    assert.ok(performance.now() < deadline, 'something still runs');
    await delay(50);
  }
});

function descendants(root: number): { pid: number; started: string | undefined }[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const parent = parentOf(Number(name));
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found: { pid: number; started: string | undefined }[] = [];
  const waiting = [...(children.get(root) ?? [])];
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    found.push({ pid, started: startOf(pid) });
    waiting.push(...(children.get(pid) ?? []));
  }
  return found;
}

function parentOf(pid: number): number | undefined {
  const fields = statOf(pid);
  return fields === undefined ? undefined : Number(fields[1]);
}

function startOf(pid: number): string | undefined {
  const fields = statOf(pid);
  return fields?.[0] === 'Z' ? undefined : fields?.[19];
}

function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
