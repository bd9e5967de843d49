import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Deployment, ReplicaSet } from '../machinery/kinds.ts';
import { at, deployment, start } from '../testing/objects.ts';
import { decide, type Plan } from './decide.ts';
import { annotations } from './revision.ts';

/** A little world in which plans come true: replica sets get their pods, and the pods become available. */
class World {
  deployment: Deployment;
  sets: ReplicaSet[] = [];
  now: number = start;
  /** Pods of replica sets no longer wanted that haven't ended yet. */
  lingering = 0;
  /** Images whose pods never become available. */
  readonly broken = new Set<string>();
  readonly story: string[] = [];

  constructor(deployed: Deployment) {
    this.deployment = deployed;
  }

  /** One visit; returns whether it changed anything. */
  visit(): boolean {
    const { deployment: deployed, sets } = this;
    const before = JSON.stringify([deployed, sets]);
    const plan = decide({ deployment: deployed, sets, oldPodsRun: () => this.lingering > 0 }, this.now);
    this.#carryOut(plan);
    return before !== JSON.stringify([this.deployment, this.sets]);
  }

  /** All pods that can become available do. */
  settlePods(): void {
    this.sets = this.sets.map((set) => {
      const replicas = set.spec.replicas ?? 0;
      const works = !this.broken.has(imageOf(set));
      const available = works ? replicas : 0;
      const status = {
        replicas,
        readyReplicas: available,
        availableReplicas: available,
        observedGeneration: set.metadata.generation ?? 0,
      };
      return { ...set, status };
    });
  }

  /** Visits and pods in turn until nothing changes any more. */
  settle(): void {
    for (let round = 0; round < 100; round++) {
      const before = JSON.stringify(this.sets);
      const changed = this.visit();
      this.settlePods();
      this.now += 1000;
      if (!changed && before === JSON.stringify(this.sets)) return;
    }
    assert.fail('it never settled');
  }

  edit(spec: Partial<Deployment['spec']>): void {
    const { metadata } = this.deployment;
    this.deployment = {
      ...this.deployment,
      metadata: { ...metadata, generation: (metadata.generation ?? 0) + 1 },
      spec: { ...this.deployment.spec, ...spec },
    };
  }

  sizes(): Record<string, number> {
    return Object.fromEntries(this.sets.map((set) => [imageOf(set), set.spec.replicas ?? 0]));
  }

  #carryOut(plan: Plan): void {
    const created = plan.create;
    if (created !== undefined) {
      const creationTimestamp = at((this.now - start) / 1000);
      const metadata = {
        ...created.metadata,
        uid: `uid-${created.metadata.name}`,
        creationTimestamp,
        generation: 1,
      };
      this.sets.push({ ...created, metadata });
      this.story.push(`create ${imageOf(created)} with ${created.spec.replicas}`);
    }
    for (const { set, replicas, annotations: next } of plan.change) {
      if (replicas !== set.spec.replicas)
        this.story.push(`scale ${imageOf(set)} from ${set.spec.replicas} to ${replicas}`);
      this.sets = this.sets.map((one) =>
        one === set
          ? { ...one, metadata: { ...one.metadata, annotations: next }, spec: { ...one.spec, replicas } }
          : one,
      );
    }
    for (const set of plan.remove) {
      this.story.push(`remove ${imageOf(set)}`);
      this.sets = this.sets.filter((one) => one !== set);
    }
    const { revision } = plan;
    const metadata = this.deployment.metadata;
    this.deployment = {
      ...this.deployment,
      metadata:
        revision === undefined
          ? metadata
          : { ...metadata, annotations: { ...metadata.annotations, [annotations.revision]: revision } },
      status: plan.status,
    };
  }
}

function imageOf(set: ReplicaSet): string {
  return set.spec.template.spec.containers[0]?.image ?? '';
}

function template(image: string): Deployment['spec']['template'] {
  return { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image }] } };
}

function progressing(world: World): string {
  const condition = world.deployment.status?.conditions?.find(({ type }) => type === 'Progressing');
  return `${condition?.status} ${condition?.reason}`;
}

describe('a rolling update', () => {
  test('is told as a story', () => {
    const world = new World(deployment());
    world.settle();
    assert.equal(progressing(world), 'True NewReplicaSetAvailable');
    world.edit({ template: template('two') });
    world.settle();
    assert.deepEqual(world.story, [
      'create one with 4',
      'create two with 1',
      'scale one from 4 to 2',
      'scale two from 1 to 3',
      'scale one from 2 to 0',
      'scale two from 3 to 4',
    ]);
    assert.equal(world.deployment.metadata.annotations?.[annotations.revision], '2');
    assert.equal(world.deployment.status?.observedGeneration, 2);
  });

  test('stops at the minimum when the new pods never become available, and says so after the deadline', () => {
    const world = new World(deployment({ progressDeadlineSeconds: 60 }));
    world.settle();
    world.broken.add('two');
    world.edit({ template: template('two') });
    world.settle();
    assert.deepEqual(world.sizes(), { one: 3, two: 2 });
    assert.equal(progressing(world), 'True ReplicaSetUpdated');
    world.now += 61_000;
    world.visit();
    assert.equal(progressing(world), 'False ProgressDeadlineExceeded');
    assert.deepEqual(world.sizes(), { one: 3, two: 2 });
  });

  test('asks to be looked at again when the deadline is due', () => {
    const world = new World(deployment({ progressDeadlineSeconds: 60 }));
    world.broken.add('one');
    world.visit();
    world.settlePods();
    world.visit();
    const plan = decide(
      { deployment: world.deployment, sets: world.sets, oldPodsRun: () => false },
      world.now,
    );
    assert.equal(plan.requeueAfter, 60_000);
  });

  test('goes back to an earlier template with its replica set, under a new revision', () => {
    const world = new World(deployment());
    world.settle();
    world.edit({ template: template('two') });
    world.settle();
    world.edit({ template: template('one') });
    world.settle();
    assert.deepEqual(world.sizes(), { one: 4, two: 0 });
    assert.equal(world.sets.length, 2);
    const one = world.sets.find((set) => imageOf(set) === 'one');
    assert.equal(one?.metadata.annotations?.[annotations.revision], '3');
    assert.equal(one?.metadata.annotations?.[annotations.history], '1');
  });

  test('keeps no more history than it may', () => {
    const world = new World(deployment({ revisionHistoryLimit: 1 }));
    for (const image of ['one', 'two', 'three', 'four']) {
      world.edit({ template: template(image) });
      world.settle();
    }
    assert.deepEqual(world.sizes(), { three: 0, four: 4 });
  });
});

test('Recreate waits until the last old pod has ended', () => {
  const world = new World(deployment({ strategy: { type: 'Recreate' } }));
  world.settle();
  world.edit({ template: template('two') });
  world.lingering = 1;
  world.settle();
  assert.deepEqual(world.sizes(), { one: 0 });
  world.lingering = 0;
  world.settle();
  assert.deepEqual(world.sizes(), { one: 0, two: 4 });
});

test('a paused deployment changes size but not its template, and says that it is paused', () => {
  const world = new World(deployment());
  world.settle();
  world.edit({ paused: true, replicas: 6, template: template('two') });
  world.settle();
  assert.deepEqual(world.sizes(), { one: 6 });
  assert.equal(progressing(world), 'Unknown DeploymentPaused');
  world.edit({ paused: false });
  world.settle();
  assert.deepEqual(world.sizes(), { one: 0, two: 6 });
  assert.equal(progressing(world), 'True NewReplicaSetAvailable');
});

test('a resize in mid-rollout keeps the proportions', () => {
  const world = new World(
    deployment({ replicas: 10, strategy: { rollingUpdate: { maxSurge: 2, maxUnavailable: 2 } } }),
  );
  world.settle();
  world.broken.add('two');
  world.edit({ template: template('two') });
  world.settle();
  assert.deepEqual(world.sizes(), { one: 8, two: 4 });
  world.edit({ replicas: 20 });
  world.visit();
  assert.deepEqual(world.sizes(), { one: 15, two: 7 });
});

test('the status counts, and Available follows the minimum', () => {
  const world = new World(deployment({ replicas: 2 }));
  world.broken.add('one');
  world.settle();
  const { status } = world.deployment;
  assert.equal(status?.replicas, 2);
  assert.equal(status?.availableReplicas, 0);
  assert.equal(status?.unavailableReplicas, 2);
  const available = () =>
    world.deployment.status?.conditions?.find(({ type }) => type === 'Available')?.status;
  assert.equal(available(), 'False');
  world.broken.clear();
  world.settle();
  assert.equal(available(), 'True');
});

test('why pods cannot be created is passed on from the replica set', () => {
  const world = new World(deployment());
  world.settle();
  const failure = {
    type: 'ReplicaFailure',
    status: 'True',
    reason: 'FailedCreate',
    message: 'quota',
  } as const;
  world.sets = world.sets.map((set) => ({
    ...set,
    status: { replicas: 0, ...set.status, conditions: [failure] },
  }));
  world.visit();
  const passed = world.deployment.status?.conditions?.find(({ type }) => type === 'ReplicaFailure');
  assert.equal(passed?.message, 'quota');
});
