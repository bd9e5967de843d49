/** Real processes under a fake API: what a pod is given, and how it starts, serves and ends. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { resources } from '../../../kube-client/resources.ts';
import { World } from './testing.ts';

const untilTerm = 'trap "exit 0" TERM; while :; do sleep 0.02; done';

describe('a node', () => {
  const world = new World();
  const { api } = world;
  before(() => world.start());
  after(() => world.end());

  const sh = (code: string) => ({ name: 'c', image: 'test/sh', args: [code] });

  it('registers and holds a lease', () => {
    const [registered] = api.all<{ status: { allocatable: Record<string, string> } }>(resources.nodes);
    assert.equal(registered?.status.allocatable['nvidia.com/gpu'], '2');
    assert.equal(api.all(resources.leases).length, 1);
  });

  it('runs a server, tells its readiness, and takes it down', async () => {
    const name = world.run({
      containers: [
        {
          name: 'c',
          image: 'registry.example:5000/test/server:1',
          ports: [{ name: 'http', containerPort: 8080 }],
          readinessProbe: {
            httpGet: { path: '/ready', port: 'http' },
            periodSeconds: 1,
            failureThreshold: 1,
          },
        },
      ],
    });
    await world.until('ready', () => world.condition(name, 'Ready') === 'True');
    const address = world.pod(name)?.status?.podIP;
    assert.match(address ?? '', /^127\.77\./);
    assert.equal(world.pod(name)?.status?.phase, 'Running');
    const environment = (await (await fetch(`http://${address}:8080/`)).json()) as Record<string, string>;
    assert.deepEqual(
      Object.keys(environment)
        .filter((key) => !key.startsWith('KUBERNETES_'))
        .sort(),
      ['HOME', 'HOSTNAME', 'LANG', 'PATH', 'SLUICE_BIND_ADDRESS', 'SLUICE_TERMINATION_LOG', 'TMPDIR'],
    );
    await fetch(`http://${address}:8080/unready`);
    await world.until('unready', () => world.condition(name, 'Ready') === 'False');
    assert.ok(
      world
        .events(name)
        .includes('Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503'),
    );
    const folder = world.podFolder(name);
    await world.remove(name);
    assert.ok(world.events(name).includes('Killing: Stopping container c'));
    await world.until('folder removed', () => !existsSync(folder));
    await assert.rejects(fetch(`http://${address}:8080/`));
  });

  it('passes what the pod says: env, downward values, mount paths, devices, a kubeconfig', async () => {
    api.put(resources.configmaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'settings', namespace: 'default' },
      data: { color: 'green', 'a.txt': 'hello' },
    });
    api.put(resources.services, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kubernetes', namespace: 'default' },
      spec: { clusterIP: '127.96.0.1', ports: [{ name: 'https', port: 443 }] },
    });
    const name = world.run({
      restartPolicy: 'Never',
      volumes: [
        { name: 'data', emptyDir: {} },
        { name: 'settings', configMap: { name: 'settings' } },
        { name: 'token', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } },
      ],
      containers: [
        {
          name: 'c',
          image: 'test/env',
          args: ['/data/x', '--dir=/data', '/database', '$(COLOR)'],
          env: [
            { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'GREETING', value: 'hi $(POD_NAME) $$(POD_NAME) $(NOBODY)' },
            { name: 'COLOR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'color' } } },
            { name: 'CPUS', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
            { name: 'FILE', value: '/etc/settings/a.txt' },
            { name: 'odd.name', value: 'kept' },
          ],
          resources: { limits: { cpu: '1500m', 'nvidia.com/gpu': '1' } },
          volumeMounts: [
            { name: 'data', mountPath: '/data' },
            { name: 'settings', mountPath: '/etc/settings' },
            { name: 'token', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
          ],
        },
      ],
    });
    await world.until('succeeded', () => world.pod(name)?.status?.phase === 'Succeeded');
    const [line = '', args = ''] = world.log(name);
    const env = JSON.parse(line) as Record<string, string>;
    assert.equal(env['GREETING'], `hi ${name} $(POD_NAME) $(NOBODY)`);
    assert.equal(env['COLOR'], 'green');
    assert.equal(env['CPUS'], '2');
    assert.equal(readFileSync(env['FILE'] ?? '', 'utf8'), 'hello');
    assert.equal(env['KUBERNETES_SERVICE_HOST'], '127.96.0.1');
    assert.equal(env['odd.name'], 'kept');
    assert.match(env['NVIDIA_VISIBLE_DEVICES'] ?? '', /^GPU-[0-9a-f-]{36}$/);
    const kubeconfig = JSON.parse(readFileSync(env['KUBECONFIG'] ?? '', 'utf8'));
    assert.match(readFileSync(kubeconfig.users[0].user.tokenFile, 'utf8'), /^token-\d+$/);
    assert.deepEqual(
      (JSON.parse(args) as string[]).map((arg) => arg.replace(world.podFolder(name), '')),
      ['/v/data/x', '--dir=/v/data', '/database', 'green'],
    );
    await world.remove(name);
  });

  it('restarts what crashes, and backs off', async () => {
    const name = world.run({ containers: [sh('exit 3')] });
    const waiting = () => world.container(name)?.state.waiting;
    await world.until('back-off', () => waiting()?.reason === 'CrashLoopBackOff');
    const title = `c pod=${name}_default(${world.pod(name)?.metadata.uid})`;
    assert.equal(waiting()?.message, `back-off 200ms restarting failed container=${title}`);
    assert.equal(world.container(name)?.lastState.terminated?.exitCode, 3);
    assert.equal(world.container(name)?.lastState.terminated?.reason, 'Error');
    await world.until('third restart', () => (world.container(name)?.restartCount ?? 0) >= 3);
    assert.equal(world.pod(name)?.status?.phase, 'Running');
    await world.remove(name);
  });

  it('ends as the restart policy has it', async () => {
    const never = world.run({ restartPolicy: 'Never', containers: [sh('exit 4')] });
    const onFailure = world.run({
      restartPolicy: 'OnFailure',
      containers: [sh('[ -e x ] || { touch x; exit 1; }')],
    });
    await world.until('failed', () => world.pod(never)?.status?.phase === 'Failed');
    await world.until('succeeded', () => world.pod(onFailure)?.status?.phase === 'Succeeded');
    assert.equal(world.container(never)?.restartCount, 0);
    assert.equal(world.container(onFailure)?.restartCount, 1);
    assert.equal(world.condition(never, 'Ready'), 'False');
    await world.remove(never);
    await world.remove(onFailure);
  });

  it('keeps the last words: the termination file, else the log', async () => {
    const container = (code: string) => ({
      ...sh(code),
      env: [{ name: 'WORDS', value: '/dev/termination-log' }],
      terminationMessagePolicy: 'FallbackToLogsOnError' as const,
    });
    const written = world.run({
      restartPolicy: 'Never',
      containers: [container('echo noise; echo why >$WORDS; exit 1')],
    });
    const logged = world.run({
      restartPolicy: 'Never',
      containers: [container('echo first; echo last >&2; exit 1')],
    });
    for (const name of [written, logged])
      await world.until('failed', () => world.pod(name)?.status?.phase === 'Failed');
    assert.equal(world.container(written)?.state.terminated?.message, 'why\n');
    assert.match(world.container(logged)?.state.terminated?.message ?? '', /last\n/);
    await world.remove(written);
    await world.remove(logged);
  });

  it('kills what takes more memory than its limit', async () => {
    const container = { name: 'c', image: 'test/hog', resources: { limits: { memory: '150Mi' } } };
    const name = world.run({ restartPolicy: 'Never', containers: [container] });
    await world.until('failed', () => world.pod(name)?.status?.phase === 'Failed');
    const { exitCode, reason } = world.container(name)?.state.terminated ?? {};
    assert.deepEqual({ exitCode, reason }, { exitCode: 137, reason: 'OOMKilled' });
    await world.remove(name);
  });

  it('waits for what is missing, says so, and goes on when it comes', async () => {
    const secret = { secretKeyRef: { name: 'late', key: 'word' } };
    const name = world.run({
      restartPolicy: 'Never',
      containers: [{ ...sh('echo $WORD'), env: [{ name: 'WORD', valueFrom: secret }] }],
    });
    const mounting = world.run({
      restartPolicy: 'Never',
      volumes: [{ name: 'v', secret: { secretName: 'late' } }],
      containers: [sh('true')],
    });
    await world.until(
      'config error',
      () => world.container(name)?.state.waiting?.reason === 'CreateContainerConfigError',
    );
    assert.equal(world.container(name)?.state.waiting?.message, 'secret "late" not found');
    const mountFailure = 'FailedMount: MountVolume.SetUp failed for volume "v" : secret "late" not found';
    await world.until('mount failure', () => world.events(mounting).includes(mountFailure));
    assert.equal(world.container(mounting)?.state.waiting?.reason, 'ContainerCreating');
    api.put(resources.secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'late', namespace: 'default' },
      data: { word: Buffer.from('found').toString('base64') },
    });
    for (const pod of [name, mounting])
      await world.until('done', () => world.pod(pod)?.status?.phase === 'Succeeded');
    assert.deepEqual(world.log(name), ['found']);
    await world.remove(name);
    await world.remove(mounting);
  });

  it('tells of images that cannot be had and of programs that are not there', async () => {
    const noImage = world.run({ containers: [{ name: 'c', image: 'example.com/nothing:1' }] });
    const noProgram = world.run({
      containers: [{ name: 'c', image: 'test/sh', command: ['no-such-program'] }],
    });
    await world.until('pull error', () => world.container(noImage)?.state.waiting?.reason === 'ErrImagePull');
    await world.until(
      'pull back-off',
      () => world.container(noImage)?.state.waiting?.reason === 'ImagePullBackOff',
    );
    assert.equal(world.pod(noImage)?.status?.phase, 'Pending');
    assert.ok(world.events(noImage).includes('BackOff: Back-off pulling image "example.com/nothing:1"'));
    await world.until(
      'start error',
      () => world.container(noProgram)?.lastState.terminated?.reason === 'StartError',
    );
    assert.equal(world.container(noProgram)?.lastState.terminated?.exitCode, 128);
    await world.remove(noImage);
    await world.remove(noProgram);
  });

  it('renews mounted files', async () => {
    const settings = (color: string) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'changing', namespace: 'default' },
      data: { color },
    });
    api.put(resources.configmaps, settings('red'));
    const name = world.run({
      volumes: [{ name: 'v', configMap: { name: 'changing' } }],
      containers: [{ ...sh(untilTerm), volumeMounts: [{ name: 'v', mountPath: '/etc/v' }] }],
    });
    await world.until('running', () => world.container(name)?.state.running);
    const read = () => readFileSync(join(world.podFolder(name), 'v/v/color'), 'utf8');
    assert.equal(read(), 'red');
    api.put(resources.configmaps, settings('blue'));
    await world.until('renewed', () => read() === 'blue');
    await world.remove(name);
  });

  it('refuses what does not fit, and gives each device to one pod', async () => {
    const gpu = (count: string) => ({
      ...sh(`echo $NVIDIA_VISIBLE_DEVICES; ${untilTerm}`),
      resources: { limits: { 'nvidia.com/gpu': count } },
    });
    const first = world.run({ containers: [gpu('1')] });
    const second = world.run({ containers: [gpu('1')] });
    for (const name of [first, second])
      await world.until('running', () => world.container(name)?.state.running);
    await world.until('told', () => world.log(first)[0] && world.log(second)[0]);
    assert.notEqual(world.log(first)[0], world.log(second)[0]);
    const third = world.run({ containers: [gpu('1')] });
    await world.until('rejected', () => world.pod(third)?.status?.phase === 'Failed');
    assert.equal(world.pod(third)?.status?.reason, 'OutOfnvidia.com/gpu');
    assert.equal(
      world.pod(third)?.status?.message,
      "Pod was rejected: Node didn't have enough resource: nvidia.com/gpu, requested: 1, used: 2, capacity: 2",
    );
    for (const name of [first, second, third]) await world.remove(name);
    const again = world.run({ containers: [gpu('2')] });
    await world.until('running', () => world.container(again)?.state.running);
    await world.remove(again);
  });

  it('writes the latest status through failures and conflicts', async () => {
    api.fail('patch', 3, 500);
    const name = world.run({ restartPolicy: 'Never', containers: [sh('exit 0')] });
    await world.until('succeeded', () => world.pod(name)?.status?.phase === 'Succeeded');
    await world.remove(name);
  });
});
