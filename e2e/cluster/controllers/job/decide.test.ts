import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Job, Pod } from '../machinery/kinds.ts';
import { at, job, pod, start } from '../testing/objects.ts';
import { decide, expiry, isOver, trackingFinalizer } from './decide.ts';

const tracked = { finalizers: [trackingFinalizer] };

function ended(name: string, phase: 'Succeeded' | 'Failed', seconds = 0): Pod {
  return pod(name, { ready: false, since: seconds, metadata: tracked, status: { phase } });
}

/** Lets a plan come true: pods it lets go lose their finalizer, pods it removes are gone. */
class World {
  job: Job;
  pods: Pod[] = [];
  now: number = start;
  #serial = 0;

  constructor(wanted: Job) {
    this.job = wanted;
  }

  visit(): ReturnType<typeof decide> {
    const plan = decide(this.job, this.pods, this.now);
    this.job = { ...this.job, status: plan.status };
    this.pods = this.pods
      .filter((one) => !plan.remove.includes(one))
      .map((one) =>
        plan.release.includes(one) ? { ...one, metadata: { ...one.metadata, finalizers: [] } } : one,
      );
    for (let index = 0; index < plan.create; index++) {
      this.#serial += 1;
      this.pods.push(pod(`p${this.#serial}`, { metadata: tracked }));
    }
    return plan;
  }

  end(phase: 'Succeeded' | 'Failed'): void {
    const running = this.pods.findIndex((one) => one.status?.phase === 'Running');
    const name = this.pods[running]?.metadata.name ?? assert.fail('nothing runs');
    this.pods[running] = ended(name, phase, (this.now - start) / 1000);
  }

  conditions(): string[] {
    return (this.job.status?.conditions ?? []).map(
      ({ type, status, reason }) => `${type}=${status} ${reason}`,
    );
  }
}

test('a job runs as many pods at once as it may, until enough have succeeded', () => {
  const world = new World(job({ completions: 3, parallelism: 2 }));
  assert.equal(world.visit().create, 2);
  assert.equal(world.job.status?.startTime, at(0));
  world.end('Succeeded');
  world.visit();
  assert.equal(world.pods.filter((one) => one.status?.phase === 'Running').length, 2);
  world.end('Succeeded');
  world.end('Succeeded');
  world.visit();
  assert.deepEqual(world.conditions(), ['SuccessCriteriaMet=True CompletionsReached']);
  assert.equal(isOver(world.job), false);
  world.visit();
  assert.deepEqual(world.conditions(), [
    'SuccessCriteriaMet=True CompletionsReached',
    'Complete=True CompletionsReached',
  ]);
  const { succeeded, active, completionTime } = world.job.status ?? {};
  assert.deepEqual({ succeeded, active, completionTime }, { succeeded: 3, active: 0, completionTime: at(0) });
});

test('no end is counted twice, however often it is looked at, nor lost with its pod', () => {
  const world = new World(job({ completions: 2 }));
  world.visit();
  world.end('Succeeded');
  const plan = decide(world.job, world.pods, start);
  assert.deepEqual(plan.status.uncountedTerminatedPods, { succeeded: ['uid-p1'] });
  // The status was stored, but not the release: the next visit finds the same.
  world.job = { ...world.job, status: plan.status };
  world.visit();
  world.pods = world.pods.filter(({ metadata }) => metadata.name !== 'p1');
  world.visit();
  world.visit();
  assert.equal(world.job.status?.succeeded, 1);
  assert.deepEqual(world.job.status?.uncountedTerminatedPods, {});
});

describe('a job fails', () => {
  test('with too many failures, and its other pods go', () => {
    const world = new World(job({ backoffLimit: 0, parallelism: 2, completions: 2 }));
    world.visit();
    world.end('Failed');
    const plan = world.visit();
    assert.equal(plan.remove.length, 1);
    world.visit();
    assert.deepEqual(world.conditions(), [
      'FailureTarget=True BackoffLimitExceeded',
      'Failed=True BackoffLimitExceeded',
    ]);
  });

  test('with too many restarts within its pods', () => {
    const template = { spec: { restartPolicy: 'OnFailure', containers: [{ name: 'c' }] } };
    const world = new World(job({ backoffLimit: 2, template }));
    world.visit();
    world.pods = [
      pod('p1', { metadata: tracked, status: { containerStatuses: [{ name: 'c', restartCount: 3 }] } }),
    ];
    assert.equal(world.visit().remove.length, 1);
    assert.deepEqual(world.conditions()[0], 'FailureTarget=True BackoffLimitExceeded');
  });

  test('when it takes too long, and it is looked at when that is so', () => {
    const world = new World(job({ activeDeadlineSeconds: 30 }));
    assert.equal(world.visit().requeueAfter, 30_000);
    world.now += 30_000;
    world.visit();
    world.visit();
    assert.deepEqual(world.conditions(), [
      'FailureTarget=True DeadlineExceeded',
      'Failed=True DeadlineExceeded',
    ]);
  });
});

test('after a failure the next try waits, twice as long each time', () => {
  const world = new World(job());
  world.visit();
  world.end('Failed');
  assert.deepEqual([world.visit().create, world.visit().requeueAfter], [0, 10_000]);
  world.now += 10_000;
  assert.equal(world.visit().create, 1);
  world.end('Failed');
  world.visit();
  assert.equal(world.visit().requeueAfter, 20_000);
});

test('a suspended job has no pods and no start, and goes on when it is resumed', () => {
  const world = new World(job());
  world.visit();
  world.job = { ...world.job, spec: { ...world.job.spec, suspend: true } };
  world.visit();
  assert.deepEqual([world.pods.length, world.job.status?.startTime], [0, undefined]);
  assert.deepEqual(world.conditions(), ['Suspended=True JobSuspended']);
  world.job = { ...world.job, spec: { ...world.job.spec, suspend: false } };
  world.visit();
  assert.deepEqual([world.pods.length, world.conditions()], [1, ['Suspended=False JobResumed']]);
});

test('a finished job outlives its end by its time to live', () => {
  const conditions = [{ type: 'Complete', status: 'True', lastTransitionTime: at(5) } as const];
  assert.equal(expiry(job({ ttlSecondsAfterFinished: 60 }, { conditions })), start + 65_000);
  assert.equal(expiry(job({}, { conditions })), undefined);
  assert.equal(expiry(job({ ttlSecondsAfterFinished: 0 })), undefined);
});
