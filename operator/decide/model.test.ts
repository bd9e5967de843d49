import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultModelSpec } from '../api/defaults.ts';
import { freshEvidence, weigh } from './analysis/evidence.ts';
import { decideModel } from './model.ts';
import { World } from './testing/world.ts';

const seconds = (count: number): number => count * 1_000;

/** A world in which 5.0.0 is stable. */
function serving(spec: ConstructorParameters<typeof World>[0] = {}): World {
  const world = new World(spec);
  world.add('5.0.0');
  world.run(seconds(1));
  assert.equal(world.model?.status?.stable, '5.0.0');
  world.transcript.length = 0;
  return world;
}

describe('a model without a Model', () => {
  it('gets one with the defaults, and loses it with its last version', () => {
    const world = new World();
    world.add('5.0.0');
    assert.equal(world.reconcile().implicit, 'create');
    assert.equal(world.versions.get('5.0.0')!.replicas, 2, 'the Deployment does not wait for the Model');
    world.run(seconds(1));
    assert.equal(world.weight('5.0.0'), 100);
    world.model = {
      ...world.model!,
      metadata: { ...world.model!.metadata, labels: { 'sluice.dev/implicit': 'true' } },
    };
    world.remove('5.0.0');
    assert.equal(world.reconcile().implicit, 'delete');
  });
});

describe('a rollout', () => {
  it('steps to the end and can be read as a story', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(120));
    assert.deepEqual(world.transcript, [
      '    1.0 RolloutStarted   rolling out 6.0.0 from 5.0.0',
      '    1.0 StepReached      step 1 of 3: 6.0.0 gets 5 % for 30 s',
      '   31.0 StepReached      step 2 of 3: 6.0.0 gets 25 % for 30 s',
      '   61.0 StepReached      step 3 of 3: 6.0.0 gets 50 % for 30 s',
      '   91.0 VersionPromoted  6.0.0 is stable instead of 5.0.0 after 1 min 30 s',
    ]);
    assert.equal(world.weight('6.0.0'), 100);
    assert.equal(world.condition('Ready', '6.0.0'), 'True Serving');
    assert.equal(world.condition('Ready', '5.0.0'), 'True Warm');
    assert.equal(world.condition('Ready'), 'True Serving');
  });

  it('gives nothing to a candidate before every pod is ready', () => {
    const world = serving();
    world.add('6.0.0');
    world.settle();
    world.pods('6.0.0', 'ready', 'starting');
    world.settle();
    assert.equal(world.weight('6.0.0'), 0);
    assert.equal(world.condition('Ready', '6.0.0'), 'False RolloutInProgress');
    assert.equal(world.condition('Reconciling', '6.0.0'), 'True RolloutInProgress');
    assert.equal(world.condition('Servable'), 'True Serving');
  });

  it('does not go on before every router follows', () => {
    const world = serving();
    world.add('6.0.0');
    world.settle();
    world.pods('6.0.0', 'ready', 'ready');
    world.settle();
    world.now += seconds(300);
    world.settle();
    assert.equal(world.weight('6.0.0'), 5);
    assert.equal(world.condition('RouteReady'), 'False RoutersPending');
    world.ack();
    world.settle();
    assert.equal(world.weight('6.0.0'), 5, 'the hold begins when they follow');
    world.now += seconds(29);
    world.settle();
    assert.equal(world.weight('6.0.0'), 5);
    world.now += seconds(1);
    world.settle();
    assert.equal(world.weight('6.0.0'), 25);
  });

  it('holds a step no longer because a router comes or goes in the middle of it', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(1));
    assert.equal(world.weight('6.0.0'), 5);
    world.routers = [...world.routers, 0];
    world.now += seconds(10);
    world.settle();
    world.ack();
    world.settle();
    world.now += seconds(20);
    world.settle();
    assert.equal(world.weight('6.0.0'), 25);
  });

  it('takes traffic away at once when readiness is lost, and for good after unreadyFor', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(40));
    assert.equal(world.weight('6.0.0'), 25);
    world.pods('6.0.0', 'starting', 'starting');
    assert.equal(world.settle().requeueAfterMs, seconds(5));
    assert.equal(world.weight('6.0.0'), 0);
    assert.equal(world.weight('5.0.0'), 100);
    world.now += seconds(5);
    world.settle();
    assert.deepEqual(world.transcript.slice(-2), [
      '   41.0 TrafficSuspended 0 of 2 pods of 6.0.0 are ready; it has no traffic until they are again',
      '   46.0 RolledBack       6.0.0 failed (ReadinessLost: 0 of 2 pods were ready for 5 s); traffic is with 5.0.0',
    ]);
    assert.equal(world.condition('Ready', '6.0.0'), 'False ReadinessLost');
    assert.equal(world.condition('Stalled', '6.0.0'), 'True ReadinessLost');
    world.ack();
    world.settle();
    assert.equal(world.condition('Ready'), 'True Serving', 'latest is the newest that has not failed');
    assert.equal(world.versions.get('6.0.0')!.object.status?.lastFailure?.reason, 'ReadinessLost');
  });

  it('gives a candidate no more than its ready pods can bear, and does not go on before all are ready', () => {
    const world = serving();
    world.add('6.0.0', { replicas: 10 });
    world.run(seconds(65));
    assert.equal(world.weight('6.0.0'), 50);
    world.pods(
      '6.0.0',
      ...Array<'ready' | 'starting'>(6).fill('ready'),
      ...Array<'starting'>(4).fill('starting'),
    );
    world.now += seconds(600);
    world.settle();
    assert.equal(world.weight('6.0.0'), 50, '60 % of the pods bear 50 % of the traffic');
    assert.equal(world.model?.status?.candidate?.waitingFor, 'Pods');
    world.configure({ rollback: { ...defaultModelSpec.rollback, minReady: '10%' } });
    world.pods('6.0.0', 'ready', 'ready', ...Array<'starting'>(8).fill('starting'));
    world.settle();
    assert.equal(world.weight('6.0.0'), 20, '2 of 10 pods bear 20 %');
    world.run(seconds(5));
    assert.equal(world.model?.status?.stable, '6.0.0');
  });

  it('is asked though its traffic is suspended, when nobody else can answer', () => {
    for (const lose of [
      (world: World) => world.remove('5.0.0'),
      (world: World) => world.pods('5.0.0', 'starting', 'starting'),
    ]) {
      const world = serving({ rollback: { ...defaultModelSpec.rollback, minReady: '100%' } });
      world.add('6.0.0');
      world.run(seconds(40));
      world.pods('6.0.0', 'ready', 'starting');
      world.settle();
      assert.equal(world.weight('6.0.0'), 0);
      lose(world);
      world.settle();
      assert.equal(world.weight('6.0.0'), 100);
    }
  });

  it('resumes when pods come back in time', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(40));
    world.pods('6.0.0', 'starting', 'starting');
    world.settle();
    world.now += seconds(2);
    world.pods('6.0.0', 'ready', 'ready');
    world.settle();
    assert.equal(world.weight('6.0.0'), 25);
    assert.match(world.transcript.at(-1)!, /TrafficResumed/);
  });

  it('rolls a crash loop back at once, and does not try the same content again', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(10));
    world.pods('6.0.0', 'ready', 'crashing');
    world.settle();
    assert.equal(world.weight('6.0.0'), 0);
    assert.equal(world.condition('Ready', '6.0.0'), 'False CrashLoop');
    world.pods('6.0.0', 'ready', 'ready');
    world.run(seconds(1_000));
    assert.equal(world.weight('6.0.0'), 0);
    assert.equal(world.versions.get('6.0.0')!.replicas, 0, 'parked in the end');
    world.change('6.0.0', { replicas: 3, description: 'again?' });
    world.run(seconds(10));
    assert.equal(world.weight('6.0.0'), 0, 'neither replicas nor words are another content');
    world.change('6.0.0', { placement: { gpus: 0, resources: { limits: { memory: '2Gi' } } } });
    world.run(seconds(10));
    assert.equal(world.weight('6.0.0'), 5, 'a changed spec is tried');
    assert.deepEqual(world.model?.status?.latched, []);
  });

  it('fails what does not start in time, with the reason that the pods give', () => {
    const world = serving();
    world.add('6.0.0');
    world.settle();
    world.now += seconds(600);
    world.settle();
    assert.equal(world.condition('Ready', '6.0.0'), 'False StartupDeadlineExceeded');
    assert.equal(world.model?.status?.candidate, undefined);
  });

  it('waits for GPUs until the deadline, says so at once, and fails for the want of them', () => {
    const world = serving();
    world.add('6.0.0');
    world.settle();
    world.pods('6.0.0', 'unschedulable');
    world.settle();
    assert.equal(world.condition('Ready', '6.0.0'), 'False Unschedulable');
    assert.equal(world.condition('Stalled', '6.0.0'), 'False Settled', 'time may mend it');
    world.now += seconds(600);
    world.settle();
    assert.equal(world.condition('Stalled', '6.0.0'), 'True Unschedulable');
    assert.equal(world.weight('5.0.0'), 100);
    assert.match(world.transcript.at(-1)!, /pods were ready after 10 min: .* Insufficient nvidia.com\/gpu/);
  });

  it('is no failure of one that has had all its pods: what has no room waits, and says so past the deadline', () => {
    for (const [missing, reason] of [
      ['unschedulable', 'Unschedulable'],
      ['starting', 'ProgressDeadlineExceeded'],
    ] as const) {
      const world = serving();
      world.add('6.0.0');
      world.run(seconds(40));
      world.pods('6.0.0', 'ready', missing);
      world.settle();
      world.now += seconds(599);
      world.settle();
      assert.equal(world.model?.status?.candidate?.waitingFor, 'Pods');
      assert.equal(world.condition('Stalled'), 'False Settled');
      world.now += seconds(1);
      world.settle();
      assert.equal(world.condition('Stalled'), `True ${reason}`);
      assert.equal(world.condition('Stalled', '6.0.0'), `True ${reason}`);
      assert.equal(world.condition('Ready'), `False ${reason}`);
      assert.equal(world.condition('Ready', '6.0.0'), `False ${reason}`);
      assert.equal(world.condition('Reconciling'), 'False Settled');
      assert.equal(world.condition('Servable'), 'True Serving');
      world.now += seconds(86_400);
      world.settle();
      assert.deepEqual(world.model?.status?.latched, []);
      assert.equal(world.weight('6.0.0'), 25);
      world.pods('6.0.0', 'ready', 'ready');
      world.settle();
      assert.equal(world.condition('Stalled'), 'False Settled');
      world.run(seconds(120));
      assert.equal(world.model?.status?.stable, '6.0.0');
    }
  });

  it('has no deadline for pods that are asked for in addition, and ends at once with one that cannot work', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(40));
    world.rescale('6.0.0', { replicas: 3 });
    world.pods('6.0.0', 'ready', 'ready', 'unschedulable');
    world.settle();
    world.now += seconds(3_600);
    world.settle();
    assert.equal(world.model?.status?.candidate?.version, '6.0.0');
    world.pods('6.0.0', 'ready', 'ready', 'crashing');
    world.settle();
    assert.equal(world.condition('Ready', '6.0.0'), 'False CrashLoop');
    assert.equal(world.weight('5.0.0'), 100);
  });

  it('gives way to a newer version', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(10));
    world.add('7.0.0');
    world.run(seconds(1));
    assert.equal(world.weight('6.0.0'), 0);
    assert.equal(world.weight('7.0.0'), 5);
    assert.ok(world.transcript.some((line) => line.includes('Superseded       6.0.0 gave way to 7.0.0')));
  });

  it('returns at once to a former version that is named', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(120));
    world.configure({ serve: { version: '5.0.0' } });
    world.run(seconds(1));
    assert.equal(world.weight('5.0.0'), 100);
    assert.equal(world.model?.status?.stable, '5.0.0');
  });
});

describe('stable', () => {
  it('that fails while it bakes hands back to its predecessor, for good', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(120));
    world.pods('6.0.0', 'crashing', 'crashing');
    world.settle();
    assert.equal(world.model?.status?.stable, '5.0.0');
    assert.equal(world.weight('5.0.0'), 100);
    assert.equal(world.condition('Ready', '6.0.0'), 'False CrashLoop');
    assert.equal(world.condition('Ready', '5.0.0'), 'False RoutersPending');
    world.ack();
    world.settle();
    assert.equal(world.condition('Ready', '5.0.0'), 'True Serving');
  });

  it('that loses its pods later lends its traffic to a warm one and gets it back', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(2_000));
    world.pods('6.0.0', 'starting', 'starting');
    world.settle();
    assert.equal(world.weight('5.0.0'), 100);
    assert.equal(world.model?.status?.stable, '6.0.0');
    world.pods('6.0.0', 'ready', 'starting');
    world.settle();
    assert.equal(world.weight('6.0.0'), 100);
  });

  it('that loses its pods has a parked predecessor started, which lends a hand when it is ready', () => {
    const world = serving({ retention: { warm: 0, keep: 5, parkAfter: '1m' } });
    world.add('6.0.0');
    world.run(seconds(2_000));
    assert.equal(world.versions.get('5.0.0')!.replicas, 0);
    world.pods('6.0.0', 'starting', 'starting');
    world.settle();
    assert.equal(world.versions.get('5.0.0')!.replicas, 2);
    world.pods('5.0.0', 'ready', 'ready');
    world.settle();
    assert.equal(world.weight('5.0.0'), 100);
    world.pods('6.0.0', 'ready', 'ready');
    world.run(seconds(120));
    assert.equal(world.weight('6.0.0'), 100);
    assert.equal(world.versions.get('5.0.0')!.replicas, 0, 'parked again');
  });

  it('that was parked long ago has nothing left but its ModelVersion, and can be returned to', () => {
    const world = serving({ retention: { warm: 0, keep: 1, parkAfter: '1m' } });
    for (const version of ['6.0.0', '7.0.0', '8.0.0']) {
      world.add(version);
      world.run(seconds(1_000));
    }
    const children = (): Record<string, number | undefined> =>
      Object.fromEntries([...world.versions].map(([version, { replicas }]) => [version, replicas]));
    assert.deepEqual(children(), { '5.0.0': undefined, '6.0.0': undefined, '7.0.0': 0, '8.0.0': 2 });
    assert.equal(world.condition('Ready', '5.0.0'), 'True Parked');
    world.configure({ serve: { version: '5.0.0' } });
    world.run(seconds(1_000));
    assert.equal(world.model?.status?.stable, '5.0.0');
    assert.deepEqual(children(), { '5.0.0': 2, '6.0.0': undefined, '7.0.0': undefined, '8.0.0': 0 });
  });

  it('that is bad does not block its own fix', () => {
    const world = serving();
    world.pods('5.0.0', 'crashing', 'crashing');
    world.add('6.0.0');
    world.run(seconds(1));
    assert.equal(world.model?.status?.stable, '6.0.0');
    assert.equal(world.weight('6.0.0'), 100);
  });

  it('that is deleted is succeeded by the version before it', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(120));
    world.remove('6.0.0');
    world.settle();
    assert.equal(world.model?.status?.stable, '5.0.0');
    assert.equal(world.weight('5.0.0'), 100);
  });
});

describe('live traffic', () => {
  const totals = (requests: number, errors: number) => ({ requests, errors, latency: [], timed: 0 });
  const seen = (requests: number, errors: number) => {
    const { analysis } = defaultModelSpec.rollout;
    let evidence = freshEvidence;
    for (let second = 0; second < 10; second += 1) {
      const block = { stable: totals(900, 0), candidate: totals(requests, errors) };
      evidence = weigh(evidence, block, [], analysis);
    }
    return evidence;
  };
  const withInconclusive = (onInconclusive: 'hold' | 'rollback') =>
    serving({
      rollout: {
        ...defaultModelSpec.rollout,
        analysis: { ...defaultModelSpec.rollout.analysis, onInconclusive },
      },
    });

  it('takes a candidate out that fails requests though its pods are ready', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(10));
    world.evidence = seen(50, 25);
    world.settle();
    assert.equal(world.weight('6.0.0'), 0);
    assert.equal(world.condition('Ready', '6.0.0'), 'False ErrorRate');
    assert.match(
      world.transcript.at(-1)!,
      /6\.0\.0 failed \(ErrorRate: 50\.00 % of 500 requests failed, 0\.00 % of stable's 9000/,
    );
  });

  it('is told in the status', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(10));
    assert.equal(world.model?.status?.candidate?.verdict, 'Inconclusive');
    world.evidence = seen(50, 0);
    world.settle();
    assert.equal(world.model?.status?.candidate?.verdict, 'Pass');
    assert.equal(
      world.model?.status?.candidate?.evidence,
      "0.00 % of 500 requests failed, 0.00 % of stable's 9000",
    );
  });

  it('that is too little makes a step wait, when it should', () => {
    const world = withInconclusive('hold');
    world.add('6.0.0');
    world.run(seconds(3_600));
    assert.equal(world.weight('6.0.0'), 5);
    assert.equal(world.model?.status?.candidate?.waitingFor, 'Traffic');
    const told = world.model?.status?.conditions?.find(({ type }) => type === 'Ready')?.message;
    assert.equal(told, '6.0.0: step 1, waits for traffic');
    world.evidence = seen(50, 0);
    world.run(seconds(1));
    assert.equal(world.weight('6.0.0'), 25);
  });

  it('that is too little ends a rollout, when it should', () => {
    const world = withInconclusive('rollback');
    world.add('6.0.0');
    world.run(seconds(31));
    assert.equal(world.condition('Ready', '6.0.0'), 'False TooFewRequests');
  });
});

describe('people', () => {
  const annotate = (world: World, name: string, value: string): void =>
    world.annotate(`sluice.dev/${name}`, value);

  it('approve a step, and nothing but that step', () => {
    const step = (weight: number, approval: boolean) => ({ weight, hold: '10s', approval });
    const world = serving({
      rollout: { ...defaultModelSpec.rollout, steps: [step(10, true), step(50, true)] },
    });
    world.add('6.0.0');
    world.run(seconds(3_600));
    assert.equal(world.weight('6.0.0'), 10);
    assert.equal(world.condition('Ready'), 'False AwaitingApproval');
    annotate(world, 'approve', 'first');
    world.run(seconds(3_600));
    assert.equal(world.weight('6.0.0'), 50, 'the same value does not approve the next step');
    annotate(world, 'approve', 'second');
    world.run(seconds(1));
    assert.equal(world.weight('6.0.0'), 100);
    assert.equal(world.transcript.filter((line) => line.includes('ApprovalRequired')).length, 2);
  });

  it('who make a candidate wait do not keep it from failing', () => {
    const steps = [{ weight: 10, hold: '10s', approval: true }];
    const world = serving({ rollout: { ...defaultModelSpec.rollout, steps } });
    world.add('6.0.0');
    world.run(seconds(60));
    world.pods('6.0.0', 'crashing', 'ready');
    world.settle();
    assert.equal(world.weight('6.0.0'), 0);
    assert.equal(world.condition('Ready', '6.0.0'), 'False CrashLoop');
  });

  it('may take their time: a pod that finds no room meanwhile fails nothing, and the gate is still there after it', () => {
    const { steps } = defaultModelSpec.rollout;
    for (const rollout of [
      { ...defaultModelSpec.rollout, strategy: 'blueGreen' as const, approval: true },
      { ...defaultModelSpec.rollout, steps: steps.map((step) => ({ ...step, approval: true })) },
    ]) {
      const world = serving({ rollout });
      world.add('6.0.0');
      world.run(seconds(3_600));
      assert.equal(world.condition('Ready'), 'False AwaitingApproval');
      world.pods('6.0.0', 'ready', 'unschedulable');
      world.settle();
      world.now += seconds(600);
      world.settle();
      assert.equal(world.condition('Stalled'), 'True Unschedulable');
      world.pods('6.0.0', 'ready', 'ready');
      world.settle();
      assert.equal(world.condition('Ready'), 'False AwaitingApproval');
      world.routers = [0, 0];
      world.settle();
      world.run(seconds(1));
      assert.equal(world.condition('Ready'), 'False AwaitingApproval');
      assert.equal(world.transcript.filter((line) => line.includes('ApprovalRequired')).length, 1);
    }
  });

  it('do not hold up one that has lost its pods before it had traffic', () => {
    const world = serving({
      rollout: { ...defaultModelSpec.rollout, strategy: 'blueGreen', approval: true },
    });
    world.add('6.0.0');
    world.run(seconds(3_600));
    world.pods('6.0.0', 'unschedulable', 'unschedulable');
    world.settle();
    world.now += seconds(600);
    world.settle();
    assert.equal(world.condition('Ready', '6.0.0'), 'False Unschedulable');
    assert.equal(world.model?.status?.candidate, undefined);
  });

  it('approve the switch of a blue/green rollout', () => {
    const world = serving({
      rollout: { ...defaultModelSpec.rollout, strategy: 'blueGreen', approval: true },
    });
    world.add('6.0.0');
    world.run(seconds(600));
    assert.equal(world.weight('6.0.0'), 0);
    annotate(world, 'approve', 'go');
    world.run(seconds(1));
    assert.equal(world.weight('6.0.0'), 100);
  });

  it('pause: nothing begins and nothing goes on, but a failure is rolled back', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(10));
    annotate(world, 'paused', 'true');
    world.add('7.0.0');
    world.run(seconds(600));
    assert.equal(world.weight('6.0.0'), 5);
    assert.equal(world.condition('Ready'), 'False Paused');
    assert.equal(world.condition('Ready', '7.0.0'), 'False Paused', 'it is wanted and not there');
    world.pods('6.0.0', 'crashing', 'crashing');
    world.settle();
    assert.equal(world.weight('6.0.0'), 0);
    annotate(world, 'paused', 'false');
    world.run(seconds(1));
    assert.equal(world.weight('7.0.0'), 5);
  });

  it('promote at once, but not what is not ready', () => {
    const world = serving();
    world.add('6.0.0');
    world.settle();
    annotate(world, 'promote', 'too early');
    world.settle();
    assert.match(
      world.transcript.at(-1)!,
      /RequestIgnored {3}sluice\.dev\/promote: not every pod of 6\.0\.0 is ready/,
    );
    world.run(seconds(5));
    assert.equal(world.weight('6.0.0'), 5);
    annotate(world, 'promote', 'now');
    world.settle();
    assert.equal(world.weight('6.0.0'), 100);
  });

  it('abort, and try again', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(5));
    annotate(world, 'abort', 'now');
    world.run(seconds(60));
    assert.equal(world.weight('6.0.0'), 0);
    assert.equal(world.condition('Ready', '6.0.0'), 'False Aborted');
    world.annotate('sluice.dev/retry', 'please', '6.0.0');
    world.run(seconds(5));
    assert.equal(world.weight('6.0.0'), 5);
    world.pods('6.0.0', 'crashing', 'crashing');
    world.run(seconds(60));
    assert.equal(world.weight('6.0.0'), 0, 'one value, one try');
  });

  it('are told when there is nothing to do what they ask for', () => {
    const world = serving();
    annotate(world, 'abort', 'x');
    world.settle();
    assert.deepEqual(world.transcript, [
      '    1.0 RequestIgnored   sluice.dev/abort: nothing is being rolled out',
    ]);
  });
});

describe('a version that arrives in the middle of a rollout', () => {
  it('waits when it should, unless it is named', () => {
    const world = serving({ rollout: { ...defaultModelSpec.rollout, onNewVersion: 'queue' } });
    world.add('6.0.0');
    world.run(seconds(40));
    world.add('7.0.0');
    world.run(seconds(1));
    assert.equal(world.weight('6.0.0'), 25);
    assert.equal(world.condition('Ready', '7.0.0'), 'False Queued');
    assert.equal(world.condition('Reconciling', '7.0.0'), 'True Queued', 'kstatus: InProgress');
    world.annotate('sluice.dev/promote', 'now');
    world.reconcile();
    assert.equal(world.model?.status?.stable, '6.0.0');
    assert.equal(world.condition('Ready', '7.0.0'), 'False Queued', 'not for one visit is it called ready');
    world.run(seconds(1));
    assert.equal(world.model?.status?.stable, '6.0.0');
    assert.equal(world.weight('7.0.0'), 5);
    assert.equal(world.condition('Ready', '7.0.0'), 'False RolloutInProgress');
    world.configure({ serve: { version: '5.0.0' } });
    world.run(seconds(1));
    assert.equal(world.weight('5.0.0'), 100, 'reverting a commit does not queue');
  });
});

describe('a fixed split', () => {
  const split = [
    { version: '5.0.0', weight: 2 },
    { version: '6.0.0', weight: 1 },
  ];

  it('gives each its part, exact to 0.01 %', () => {
    const world = serving();
    world.add('6.0.0');
    world.configure({ serve: { split } });
    world.run(seconds(10));
    assert.deepEqual(world.model?.status?.traffic, [
      { version: '5.0.0', weight: 66.67 },
      { version: '6.0.0', weight: 33.33 },
    ]);
    assert.equal(world.condition('Ready'), 'True Serving');
    world.pods('6.0.0', 'crashing', 'crashing');
    world.settle();
    assert.equal(world.weight('5.0.0'), 100);
    assert.equal(world.condition('Ready'), 'False PodsStarting');
  });

  it('with a version that does not exist changes nothing and names the field', () => {
    const world = serving();
    world.configure({ serve: { split: [...split, { version: '9', weight: 1 }] } });
    world.run(seconds(5));
    assert.equal(world.weight('5.0.0'), 100);
    assert.equal(world.condition('Stalled'), 'True VersionNotFound');
    const stalled = world.model?.status?.conditions?.find((condition) => condition.type === 'Stalled');
    assert.match(
      stalled!.message,
      /^spec\.serve\.split\[1\]\.version: no ModelVersion .* "6\.0\.0"; it has 5\.0\.0$/,
    );
  });
});

describe('a version that is named before it exists', () => {
  it('is waited for without alarm, for as long as one apply may take', () => {
    const world = serving();
    world.configure({ serve: { version: '6.0.0' } });
    const { requeueAfterMs } = world.settle();
    assert.equal(world.condition('Ready'), 'False VersionNotFound');
    assert.equal(world.condition('Reconciling'), 'True VersionNotFound', 'kstatus: InProgress');
    assert.equal(world.condition('Stalled'), 'False Settled');
    assert.equal(requeueAfterMs, seconds(5));
    world.add('6.0.0');
    world.run(seconds(1));
    assert.equal(world.condition('Ready'), 'False RolloutInProgress');
  });

  it('stalls the Model when it does not come', () => {
    const world = serving();
    world.configure({ serve: { version: '6.0.0' } });
    world.run(seconds(5));
    assert.equal(world.condition('Reconciling'), 'False Settled');
    assert.equal(world.condition('Stalled'), 'True VersionNotFound', 'kstatus: Failed');
    assert.equal(world.model?.status?.phase, 'Stalled');
    world.add('6.0.0');
    world.run(seconds(1));
    assert.equal(world.condition('Stalled'), 'False Settled');
  });
});

describe('two ModelVersions of one version', () => {
  it('leave the older one alone', () => {
    const world = serving();
    const observed = world.observe();
    const { metadata, ...rest } = world.versions.get('5.0.0')!.object;
    const twin = { ...rest, metadata: { ...metadata, name: 'vad-twin', uid: 'uid-twin' } };
    const versions = [{ object: twin, pods: [], foreign: [] }, ...observed.versions];
    const { versionStatuses, workloads } = decideModel({ ...observed, versions }, world.now);
    const stalled = versionStatuses.get(twin)?.conditions?.find((condition) => condition.type === 'Stalled');
    assert.deepEqual([stalled?.status, stalled?.reason], ['True', 'VersionConflict']);
    assert.match(
      stalled!.message,
      /^spec\.version: ModelVersion vad-5\.0\.0 is version 5\.0\.0 of vad already$/,
    );
    assert.deepEqual(
      workloads.map((workload) => workload.version.metadata.name),
      ['vad-5.0.0'],
    );
  });
});

describe('routes', () => {
  const beta = { match: { headers: [{ name: 'x-tenant', value: 'beta' }] }, version: '7.0.0' };
  const fixed = { serve: { version: '5.0.0' }, routes: [beta] };

  /** A world in which 5.0.0 serves and beta's requests go to 7.0.0. */
  function routing(): World {
    const world = serving({ serve: { version: '5.0.0' } });
    world.add('7.0.0');
    world.configure({ ...fixed, rollout: defaultModelSpec.rollout });
    world.run(seconds(5));
    return world;
  }

  it('keep a version running that has no share, and tell routers when it is ready', () => {
    const world = serving({ serve: { version: '5.0.0' } });
    world.add('7.0.0');
    world.configure(fixed);
    world.settle();
    world.pods('7.0.0', 'starting', 'starting');
    world.settle();
    assert.equal(world.model?.status?.routed, undefined);
    assert.equal(world.condition('Ready'), 'False PodsStarting');
    const before = world.model?.status?.routers?.generation ?? 0;
    world.pods('7.0.0', 'ready', 'ready');
    world.settle();
    assert.deepEqual(world.model?.status?.routed, ['7.0.0']);
    assert.equal(world.model.status.routers?.generation, before + 1);
    assert.equal(world.condition('Ready', '7.0.0'), 'False RoutersPending');
    world.ack();
    world.settle();
    assert.equal(world.condition('Ready', '7.0.0'), 'True Serving');
    assert.equal(world.condition('Promoted', '7.0.0'), 'False Routed');
    assert.equal(world.condition('Ready'), 'True Serving');
    assert.deepEqual([world.weight('5.0.0'), world.weight('7.0.0')], [100, 0]);
    world.now += 30 * 24 * seconds(3_600);
    world.settle();
    assert.equal(world.versions.get('7.0.0')!.replicas, 2, 'it is not parked');
  });

  it('lead nowhere while the version has no ready pod', () => {
    const world = routing();
    assert.deepEqual(world.model?.status?.routed, ['7.0.0']);
    world.pods('7.0.0', 'crashing', 'crashing');
    world.settle();
    assert.equal(world.model.status.routed, undefined);
    assert.equal(world.condition('Ready', '7.0.0'), 'False CrashLoop');
    assert.equal(world.condition('Servable'), 'True Serving');
  });

  it('lead nowhere when the version has failed, and say so', () => {
    const world = serving();
    world.configure({ routes: [beta] });
    world.add('7.0.0');
    world.run(seconds(40));
    assert.equal(world.model?.status?.candidate?.version, '7.0.0');
    assert.deepEqual(world.model.status.routed, ['7.0.0']);
    world.pods('7.0.0', 'starting', 'ready');
    world.annotate('sluice.dev/abort', '1');
    world.settle();
    assert.equal(world.model.status.routed, undefined, 'a latched version with ready pods');
    assert.equal(world.condition('Ready'), 'False VersionLatched');
    assert.equal(world.condition('Stalled'), 'True VersionLatched');
    assert.equal(world.weight('5.0.0'), 100);
  });

  it('name the field of a version that does not exist', () => {
    const world = serving({ serve: { version: '5.0.0' } });
    world.configure({ ...fixed, routes: [{ ...beta, version: '9.9.9' }] });
    world.run(seconds(10));
    assert.equal(world.condition('Stalled'), 'True VersionNotFound');
    assert.match(
      world.model?.status?.conditions?.find(({ type }) => type === 'Ready')?.message ?? '',
      /^spec\.routes\[0\]\.version: .*"9\.9\.9"; it has 5\.0\.0$/,
    );
    assert.equal(world.weight('5.0.0'), 100);
  });

  it('that are taken away keep the version until routers follow, and then for parkAfter', () => {
    const world = routing();
    world.configure({ routes: [] });
    world.settle();
    world.now += seconds(3_600);
    world.settle();
    assert.equal(world.versions.get('7.0.0')!.replicas, 2, 'routers may still send to it');
    world.ack();
    world.settle();
    assert.equal(world.versions.get('7.0.0')!.replicas, 0);
  });
});

describe('the rules of a model', () => {
  it('count as a change for routers, each once', () => {
    const world = serving();
    const generation = () => world.model?.status?.routers?.generation ?? 0;
    const first = generation();
    for (const spec of [
      { sticky: { header: 'x-user-id' } },
      { pinning: 'disabled' as const },
      { timeouts: { response: '30s' } },
    ]) {
      const before = generation();
      world.configure(spec);
      world.settle();
      world.settle();
      assert.equal(generation(), before + 1, JSON.stringify(spec));
      assert.equal(world.condition('RouteReady'), 'False RoutersPending');
      world.ack();
      world.settle();
      assert.equal(world.condition('RouteReady'), 'True Serving');
    }
    world.configure({ rollback: { ...defaultModelSpec.rollback, minReady: '60%' } });
    world.settle();
    assert.equal(generation(), first + 3);
  });
});

describe('more pods for a version that has traffic', () => {
  it('are no loss of those that it has, whether it is rolled out or bakes', () => {
    const world = serving();
    world.add('6.0.0');
    world.run(seconds(40));
    world.rescale('6.0.0', { replicas: 10 });
    world.settle();
    world.pods('6.0.0', 'ready', 'ready', ...Array<'starting'>(8).fill('starting'));
    world.now += seconds(50);
    world.settle();
    assert.equal(world.weight('6.0.0'), 25);
    assert.equal(world.model?.status?.candidate?.waitingFor, 'Pods');
    world.run(seconds(60));
    assert.equal(world.model?.status?.stable, '6.0.0');
    world.rescale('6.0.0', { replicas: 100 });
    world.settle();
    world.now += seconds(60);
    world.settle();
    assert.equal(world.model?.status?.stable, '6.0.0');
    assert.equal(world.condition('Ready'), 'False PodsStarting');
    assert.deepEqual(
      world.transcript.filter((line) => /Suspended|RolledBack/.test(line)),
      [],
    );
  });
});
