/** A namespace with a model in it and load on the model: what most scenarios begin with and all of them clean up. */
import assert from 'node:assert/strict';
import { servicePorts } from '#contract';
import { isNotFound } from '../../../kube-client/errors.ts';
import { resources } from '../../../kube-client/resources.ts';
import { holds } from './kinds.ts';
import type { Manifest } from './kubectl.ts';
import { Load, type LoadLine } from './load-pod.ts';
import { requestFiles } from './manifests.ts';
import { images, type Session } from './session.ts';
import { World } from './world.ts';

const requests = 'vad-requests';
type Summary = Extract<LoadLine, { kind: 'summary' }>;

export class Stage {
  readonly session: Session;
  readonly namespace: string;
  readonly world: World;
  readonly #loads: Load[] = [];

  private constructor(session: Session, world: World) {
    this.session = session;
    this.world = world;
    this.namespace = world.namespace;
  }

  /** A fresh namespace with the example's request files. */
  static async set(session: Session, name: string): Promise<Stage> {
    const namespace = await session.namespace(name);
    const stage = new Stage(session, await World.watch(session.client, namespace));
    await stage.apply(await requestFiles(requests));
    return stage;
  }

  /** Ends loads and watches, and deletes the namespace with all that is in it; resolves when it is gone. */
  async clear(): Promise<void> {
    await Promise.all(this.#loads.map((load) => load.dispose()));
    await this.world.stop();
    const { client, shell } = this.session;
    await client.delete(resources.namespaces, undefined, this.namespace).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
    await shell.kubectl(['wait', '--for=delete', `namespace/${this.namespace}`, '--timeout=90s']);
  }

  /** `kubectl apply` in this namespace. */
  apply(...objects: readonly Manifest[]): Promise<string> {
    return this.session.shell.apply(this.namespace, ...objects);
  }

  /** Waits until a version is what its model serves, by itself, at every router. */
  async serves(model: string, version: string, timeoutMs = 90_000): Promise<void> {
    await this.world.until(
      `model ${model} to serve ${version} alone`,
      () => {
        const { status } = this.world.model(model) ?? {};
        const [only, ...others] = status?.traffic ?? [];
        return (
          status?.stable === version &&
          status.candidate === undefined &&
          only?.version === version &&
          others.every(({ weight }) => weight === 0) &&
          holds(this.world.model(model), 'Ready')
        );
      },
      timeoutMs,
    );
  }

  /** Address of a model's Service inside the cluster. */
  async address(model: string): Promise<string> {
    const service = await this.world.until(`the Service of ${model}`, () => {
      const found = this.world.service(model);
      return found?.spec.clusterIP ? found : undefined;
    });
    return service.spec.clusterIP!;
  }

  /** Load on a model over one protocol. It runs until it is stopped, unless `args` say otherwise. */
  async load(
    name: string,
    options: {
      readonly protocol: 'rest' | 'grpc';
      readonly model?: string;
      readonly file?: string;
      readonly args?: readonly string[];
    },
  ): Promise<Load> {
    const { protocol, model = 'vad', file = 'frame.json', args = [] } = options;
    const ip = await this.address(model);
    const load = await Load.start(this.session.client, this.world, {
      name,
      image: images.runtime,
      target:
        protocol === 'rest'
          ? { rest: `http://${ip}:${servicePorts.http}` }
          : { grpc: `${ip}:${servicePorts.grpc}` },
      requests: { configMap: requests, file },
      args: [`--model=${model}`, ...args],
    });
    this.#loads.push(load);
    return load;
  }

  /** Steady load over both protocols: `rate` requests a second each. `suffix` tells it from others of the namespace. */
  async steadyLoad(rate = 40, suffix = ''): Promise<SteadyLoad> {
    const args = [`--rate=${rate}`, '--interval=500ms'];
    const loads = await Promise.all([
      this.load(`load-rest${suffix}`, { protocol: 'rest', args }),
      this.load(`load-grpc${suffix}`, { protocol: 'grpc', args }),
    ]);
    return new SteadyLoad(this.world, loads);
  }
}

/** Several loads as one. */
export class SteadyLoad {
  readonly loads: readonly Load[];
  readonly #world: World;

  constructor(world: World, loads: readonly Load[]) {
    this.#world = world;
    this.loads = loads;
  }

  /** Resolves when each has had `count` more answers. */
  async more(count: number): Promise<void> {
    await Promise.all(this.loads.map((load) => load.more(count)));
  }

  /** Stops them, and asserts that every request was answered, and answered right. */
  async stopWithoutLoss(): Promise<readonly Summary[]> {
    const summaries = await Promise.all(this.loads.map((load) => load.stop()));
    for (const [index, summary] of summaries.entries()) {
      const { name, lines } = this.loads[index]!;
      assert.equal(summary.errors, 0, this.#losses(name, summary, lines));
      assert.ok(summary.requests > 0, `${name} sent nothing`);
    }
    return summaries;
  }

  /** When requests were lost and why, and what happened at that time. */
  #losses(name: string, { errors, requests, errorKinds }: Summary, lines: readonly LoadLine[]): string {
    const lost = lines.filter((line) => line.kind === 'failure');
    const told = lost.map(({ at, error, message }) => `${at} ${error}: ${message}`);
    return [
      `${name} lost ${errors} of ${requests} requests: ${JSON.stringify(errorKinds)}`,
      ...told.slice(0, 5),
      ...(told.length > 5 ? ['…', ...told.slice(-2)] : []),
      'what happened meanwhile:',
      this.#world.transcript(),
    ].join('\n');
  }
}

/** Requests that a version answered, over all loads. */
export function answeredBy(summaries: readonly Summary[], version: string): number {
  return summaries.reduce((sum, { versions }) => sum + (versions[version]?.requests ?? 0), 0);
}
