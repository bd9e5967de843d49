/** The state machine alone: what it does, in words, and what it never does, whatever happens to it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { podObject } from './fake-api.ts';
import { hear, type News, newRuntime, type PodRuntime } from './lifecycle.ts';
import { allContainers, type Container, isSidecar, type Pod, type PodSpec } from './pod.ts';
import { podStatus } from './pod-status.ts';
import { kubeletPolicy } from './policy.ts';
import { type Action, step } from './step.ts';

/** Runs the machine over a pod; time moves by hand. */
class Machine {
  pod: Pod;
  runtime: PodRuntime;
  now = 1_000_000;
  wakeAt: number | undefined;
  readonly actions: Action[] = [];
  #ids = 0;

  constructor(spec: PodSpec) {
    this.pod = podObject('p', spec, { uid: 'u' });
    this.runtime = newRuntime(this.pod, this.now);
    this.turn();
  }

  /** Steps until nothing changes, as a worker does. Returns what was asked for. */
  turn(): string[] {
    const said: string[] = [];
    for (let rounds = 0; ; rounds++) {
      assert.ok(rounds < 10, 'the machine does not come to rest');
      const { runtime, actions, wakeAt } = step(this.pod, this.runtime, this.now, kubeletPolicy);
      this.runtime = runtime;
      this.wakeAt = wakeAt;
      this.actions.push(...actions);
      said.push(...actions.map(words));
      if (actions.length === 0) return said;
    }
  }

  hear(news: News): string[] {
    this.runtime = hear(this.pod, this.runtime, news, this.now, kubeletPolicy);
    return this.turn();
  }

  start(container: string): string[] {
    return this.hear({ type: 'started', container, id: `${container}-${this.#ids++}`, imageID: 'i' });
  }

  exit(container: string, exitCode: number): string[] {
    const reason = exitCode === 0 ? 'Completed' : 'Error';
    return this.hear({
      type: 'exited',
      container,
      exit: { exitCode, reason, finishedAt: this.now, startedAt: this.now },
    });
  }

  probe(container: string, probe: 'startup' | 'readiness' | 'liveness', ok: boolean): string[] {
    const state = this.runtime.containers[container]?.state;
    const id = state && 'id' in state ? state.id : '';
    return this.hear({ type: 'probed', container, id, probe, ok });
  }

  pass(seconds: number): string[] {
    this.now += seconds * 1000;
    return this.turn();
  }

  delete(grace = 30): string[] {
    const deletionTimestamp = new Date(this.now + grace * 1000).toISOString();
    this.pod = {
      ...this.pod,
      metadata: { ...this.pod.metadata, deletionTimestamp, deletionGracePeriodSeconds: grace },
    };
    return this.turn();
  }

  get status() {
    return podStatus(this.pod, this.runtime, '10.0.0.1', this.now);
  }
}

function words(action: Action): string {
  switch (action.do) {
    case 'start':
    case 'hasten':
    case 'stop':
      return `${action.do} ${action.container}`;
    case 'event':
      return `event ${action.reason}`;
    default:
      return action.do;
  }
}

const plain = (name: string, more: Partial<Container> = {}): Container => ({ name, image: 'i', ...more });
const placed: News = { type: 'placed', address: '10.1.0.1' };

describe('the life of a pod', () => {
  it('goes up, crashes, backs off and comes down', () => {
    const machine = new Machine({ containers: [plain('c')] });
    assert.deepEqual(machine.actions.map(words), ['place']);
    assert.deepEqual(machine.hear(placed), ['start c']);
    assert.deepEqual(machine.start('c'), []);
    assert.equal(machine.status.phase, 'Running');
    assert.deepEqual(machine.exit('c', 1), ['start c'], 'the first restart is immediate');
    machine.start('c');
    assert.deepEqual(machine.exit('c', 1), ['event BackOff']);
    assert.equal(
      machine.status.containerStatuses?.[0]?.state.waiting?.message,
      'back-off 10s restarting failed container=c pod=p_default(u)',
    );
    assert.equal((machine.wakeAt ?? 0) - machine.now, 10_000);
    assert.deepEqual(machine.pass(9.9), []);
    assert.deepEqual(machine.pass(0.1), ['start c']);
    machine.start('c');
    assert.equal(machine.status.containerStatuses?.[0]?.restartCount, 2);
    assert.deepEqual(machine.delete(), ['stop c']);
    assert.deepEqual(machine.exit('c', 0), ['clear']);
    assert.equal(machine.status.phase, 'Succeeded');
    assert.deepEqual(machine.hear({ type: 'cleared' }), ['delete']);
    assert.deepEqual(machine.pass(1_000), []);
  });

  it('is ready only when every container is: probes passed, hooks through, gates open', () => {
    const machine = new Machine({
      readinessGates: [{ conditionType: 'example.com/gate' }],
      containers: [
        plain('a', { readinessProbe: {}, startupProbe: {}, lifecycle: { postStart: {} } }),
        plain('b'),
      ],
    });
    const ready = () => {
      const find = (type: string) => machine.status.conditions?.find((condition) => condition.type === type);
      return [find('ContainersReady')?.status, find('Ready')?.status, find('Ready')?.message].join(' ');
    };
    machine.hear(placed);
    machine.start('a');
    machine.start('b');
    assert.equal(ready(), 'False False containers with unready status: [a]');
    machine.probe('a', 'startup', true);
    machine.probe('a', 'readiness', true);
    assert.equal(ready(), 'False False containers with unready status: [a]');
    machine.hear({ type: 'hooked', container: 'a', id: 'a-0' });
    assert.equal(
      ready(),
      'True False corresponding condition of pod readiness gate "example.com/gate" does not exist.',
    );
    machine.pod = { ...machine.pod, status: { conditions: [{ type: 'example.com/gate', status: 'True' }] } };
    assert.equal(ready(), 'True True ');
    machine.probe('a', 'readiness', false);
    assert.equal(ready(), 'False False containers with unready status: [a]');
  });

  it('does not heed a probe of a run that is over', () => {
    const machine = new Machine({ containers: [plain('c', { livenessProbe: {}, readinessProbe: {} })] });
    machine.hear(placed);
    machine.start('c');
    machine.exit('c', 1);
    machine.start('c');
    assert.deepEqual(
      machine.hear({ type: 'probed', container: 'c', id: 'c-0', probe: 'liveness', ok: false }),
      [],
    );
    machine.hear({ type: 'probed', container: 'c', id: 'c-0', probe: 'readiness', ok: true });
    assert.equal(machine.status.containerStatuses?.[0]?.ready, false);
  });

  it('gives a failed probe its own grace', () => {
    const machine = new Machine({
      terminationGracePeriodSeconds: 60,
      containers: [plain('c', { livenessProbe: { terminationGracePeriodSeconds: 5 } })],
    });
    machine.hear(placed);
    machine.start('c');
    assert.deepEqual(machine.probe('c', 'liveness', false), ['stop c']);
    const stop = machine.actions.at(-1);
    assert.ok(stop?.do === 'stop');
    assert.equal(stop.killAt - machine.now, 5_000);
    assert.equal(stop.why, 'Container c failed liveness probe, will be restarted');
  });

  it('restarts one that it killed by the merits of the run before', () => {
    const machine = new Machine({ containers: [plain('c', { livenessProbe: {} })] });
    const kill = () => {
      machine.probe('c', 'liveness', false);
      return machine.exit('c', 137);
    };
    machine.hear(placed);
    machine.start('c');
    assert.deepEqual(kill(), ['start c']);
    machine.start('c');
    assert.deepEqual(kill(), ['start c'], 'the first exit is judged only now');
    machine.start('c');
    machine.pass(6);
    assert.deepEqual(kill(), ['event BackOff']);
    assert.equal((machine.wakeAt ?? 0) - machine.now, 10_000, 'and it waits from its own end on');
  });

  it('shows what stands in the way of a start until it is through', () => {
    const machine = new Machine({ containers: [plain('c')] });
    const shown = () => machine.status.containerStatuses?.[0]?.state;
    machine.hear(placed);
    machine.hear({
      type: 'blocked',
      container: 'c',
      reason: 'CreateContainerConfigError',
      message: 'no secret',
    });
    assert.deepEqual(machine.pass(10), ['start c']);
    assert.deepEqual(shown(), { waiting: { reason: 'CreateContainerConfigError', message: 'no secret' } });
    const exit = {
      exitCode: 128,
      reason: 'StartError',
      message: 'no program',
      finishedAt: machine.now,
    } as const;
    machine.hear({ type: 'exited', container: 'c', exit, imageID: 'i' });
    assert.deepEqual(shown(), { waiting: { reason: 'RunContainerError', message: 'no program' } });
    assert.equal(machine.status.containerStatuses?.[0]?.lastState.terminated?.reason, 'StartError');
  });

  it('counts what never ran as failed, once it can run no more', () => {
    const machine = new Machine({ containers: [plain('c')] });
    machine.hear(placed);
    machine.hear({
      type: 'blocked',
      container: 'c',
      reason: 'CreateContainerConfigError',
      message: 'no secret',
    });
    machine.delete();
    machine.hear({ type: 'cleared' });
    assert.equal(machine.status.phase, 'Failed');
    assert.equal(machine.status.containerStatuses?.[0]?.state.terminated?.reason, 'ContainerStatusUnknown');
  });

  it('shortens the grace when it is told to', () => {
    const machine = new Machine({ containers: [plain('c')] });
    machine.hear(placed);
    machine.start('c');
    machine.delete(30);
    assert.deepEqual(machine.delete(5), ['hasten c']);
    assert.deepEqual(machine.hear({ type: 'gone' }), ['hasten c']);
    machine.exit('c', 137);
    assert.deepEqual(machine.hear({ type: 'cleared' }), ['forget']);
  });

  it('fails for good when an init container fails under Never', () => {
    const machine = new Machine({
      restartPolicy: 'Never',
      initContainers: [plain('i')],
      containers: [plain('c')],
    });
    machine.hear(placed);
    machine.start('i');
    assert.deepEqual(machine.exit('i', 2), ['clear']);
    assert.equal(machine.status.phase, 'Failed');
    assert.equal(machine.status.initContainerStatuses?.[0]?.state.terminated?.exitCode, 2);
  });

  it('has not failed before its sidecars are gone', () => {
    const initContainers = [plain('s', { restartPolicy: 'Always' }), plain('i')];
    const machine = new Machine({ restartPolicy: 'Never', initContainers, containers: [plain('c')] });
    machine.hear(placed);
    machine.start('s');
    machine.start('i');
    assert.deepEqual(machine.exit('i', 2), ['stop s']);
    assert.equal(machine.status.phase, 'Pending');
    machine.exit('s', 143);
    assert.equal(machine.status.phase, 'Failed');
  });

  it('turns ErrImagePull into ImagePullBackOff, and pulls again later', () => {
    const machine = new Machine({ containers: [plain('c')] });
    machine.hear(placed);
    const waiting = () => machine.status.containerStatuses?.[0]?.state.waiting;
    machine.hear({ type: 'pullFailed', container: 'c', reason: 'ErrImagePull', message: 'no such thing' });
    assert.deepEqual(waiting(), { reason: 'ErrImagePull', message: 'no such thing' });
    assert.deepEqual(machine.pass(1), ['event BackOff', 'event Failed']);
    assert.equal(waiting()?.reason, 'ImagePullBackOff');
    assert.deepEqual(machine.pass(9), ['start c']);
    machine.hear({ type: 'pullFailed', container: 'c', reason: 'ErrImagePull', message: 'no such thing' });
    machine.pass(1);
    assert.deepEqual(machine.pass(18.9), []);
    assert.deepEqual(machine.pass(0.1), ['start c']);
    assert.equal(machine.status.containerStatuses?.[0]?.restartCount, 0);
  });

  it('reports a pod that was refused and starts nothing', () => {
    const pod = podObject('p', { containers: [plain('c')] });
    const refused = hear(
      pod,
      newRuntime(pod, 0),
      { type: 'rejected', reason: 'OutOfcpu', message: 'm' },
      0,
      kubeletPolicy,
    );
    const { runtime, actions } = step(pod, refused, 0, kubeletPolicy);
    assert.deepEqual(actions, []);
    const { phase, reason, message } = podStatus(pod, runtime, '', 0);
    assert.deepEqual({ phase, reason, message }, { phase: 'Failed', reason: 'OutOfcpu', message: 'm' });
  });
});

describe('whatever happens', () => {
  const spec: fc.Arbitrary<PodSpec> = fc.record({
    restartPolicy: fc.constantFrom('Always', 'OnFailure', 'Never'),
    initContainers: fc
      .array(fc.boolean(), { maxLength: 3 })
      .map((sidecars) =>
        sidecars.map((sidecar, index) =>
          plain(`i${index}`, sidecar ? { restartPolicy: 'Always', startupProbe: {} } : {}),
        ),
      ),
    containers: fc
      .array(fc.boolean(), { minLength: 1, maxLength: 3 })
      .map((probed) =>
        probed.map((probe, index) =>
          plain(`c${index}`, probe ? { livenessProbe: {}, readinessProbe: {} } : {}),
        ),
      ),
  });
  const happenings = fc.array(
    fc.record({ what: fc.nat({ max: 11 }), which: fc.nat({ max: 5 }), seconds: fc.nat({ max: 400 }) }),
    { maxLength: 80 },
  );

  it('keeps its promises, and comes to an end when deleted', () => {
    fc.assert(
      fc.property(spec, happenings, (podSpec, events) => {
        const machine = new Machine(podSpec);
        const containers = allContainers(podSpec);
        const check = invariants(machine);
        for (const { what, which, seconds } of events) {
          const { name } = containers[which % containers.length] ?? plain('c0');
          const { is } = machine.runtime.containers[name]?.state ?? { is: 'waiting' };
          const isAlive = is === 'running' || is === 'stopping';
          if (what === 0 && machine.runtime.place.is === 'making') machine.hear(placed);
          else if (what <= 3 && is === 'starting') machine.start(name);
          else if (what === 4 && is === 'starting')
            machine.hear({ type: 'blocked', container: name, reason: 'r', message: 'm' });
          else if (what === 5 && is === 'starting')
            machine.hear({ type: 'pullFailed', container: name, reason: 'ErrImagePull', message: 'm' });
          else if (what === 6 && isAlive) machine.exit(name, 0);
          else if (what === 7 && isAlive) machine.exit(name, 1);
          else if (what === 8) machine.probe(name, 'startup', true);
          else if (what === 9) machine.probe(name, 'readiness', seconds % 2 === 0);
          else if (what === 10) machine.probe(name, 'liveness', seconds % 3 !== 0);
          else machine.pass(seconds);
          check();
        }
        machine.delete();
        for (let rounds = 0; rounds < 40 && !machine.runtime.deleting; rounds++) {
          if (machine.runtime.place.is === 'making') machine.hear(placed);
          if (machine.runtime.place.is === 'clearing') machine.hear({ type: 'cleared' });
          for (const { name } of containers) {
            const { is } = machine.runtime.containers[name]?.state ?? { is: 'waiting' };
            if (is === 'starting') machine.start(name);
            if (is === 'stopping') machine.exit(name, 143);
            check();
          }
        }
        assert.equal(machine.actions.filter((action) => action.do === 'delete').length, 1);
        assert.equal(machine.actions.at(-1)?.do, 'delete');
      }),
      { numRuns: 300 },
    );
  });

  function invariants(machine: Machine): () => void {
    let heard = 0;
    const runs = new Map<string, number>();
    let wasFinal: string | undefined;
    return () => {
      const { spec: podSpec } = machine.pod;
      const { status, runtime } = machine;
      for (const action of machine.actions.slice(heard)) {
        if (action.do !== 'start') continue;
        const isMain = podSpec.containers.some(({ name }) => name === action.container);
        assert.ok(
          !isMain || runtime.initialized,
          'a main container started before the init containers were through',
        );
        assert.ok(runtime.place.is === 'made', 'started without a place');
      }
      heard = machine.actions.length;
      for (const { name } of allContainers(podSpec)) {
        const count = runtime.containers[name]?.runs ?? 0;
        assert.ok(count >= (runs.get(name) ?? 0), 'runs are forgotten');
        runs.set(name, count);
        if (podSpec.restartPolicy === 'Never' && !isSidecar(podSpec, name))
          assert.ok(count <= 1, 'Never ran twice');
      }
      const ready = status.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
      if (ready)
        assert.ok(status.containerStatuses?.every((container) => container.ready && container.state.running));
      for (const { state } of [
        ...(status.initContainerStatuses ?? []),
        ...(status.containerStatuses ?? []),
      ]) {
        const kinds = Object.values(state).filter((kind) => kind !== undefined);
        assert.equal(kinds.length, 1, 'a container is in one state');
      }
      if (wasFinal) assert.equal(status.phase, wasFinal, 'a final phase changed');
      if (status.phase === 'Succeeded' || status.phase === 'Failed') {
        wasFinal = status.phase;
        assert.ok(
          Object.values(runtime.containers).every(
            ({ state }) => state.is === 'exited' || state.is === 'waiting',
          ),
        );
      }
    };
  }
});
