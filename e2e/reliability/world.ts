/**
 * A cluster for trying an operator against faults: the embedded API server and controllers, pods that are ready at once,
 * a router that follows at once, and the operator as a process that can be killed. There are no requests here; what is
 * looked at is what the operator writes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { KubeClient } from '../../kube-client/client.ts';
import { type Connection, connect } from '../../kube-client/connection.ts';
import { isAlreadyExists, isNotFound } from '../../kube-client/errors.ts';
import { loadAccess } from '../../kube-client/kubeconfig.ts';
import type { KubeObject } from '../../kube-client/object.ts';
import { type Resource, resources } from '../../kube-client/resources.ts';
import type { Model } from '../../operator/api/generated/model.ts';
import type { ModelVersion } from '../../operator/api/generated/model-version.ts';
import { type ApiServer, startApiServer } from '../cluster/api/server.ts';
import { startControllers } from '../cluster/controllers/start.ts';
import { Pods } from './pods.ts';
import { Router } from './router.ts';

const repository = fileURLToPath(new URL('../../', import.meta.url));
export const namespace = 'speech';
/** Who the operator is, so that faults can be meant for it alone. One that is to be told apart is `operator-N`. */
export const operatorUser = 'system:serviceaccount:default:operator';
export const otherOperators = 5;
const leaseName = 'sluice-operator';

interface Lease extends KubeObject {
  readonly spec?: { readonly holderIdentity?: string };
}

const custom = (plural: string, kind: string, namespaced = true): Resource => ({
  group: 'sluice.dev',
  version: 'v1alpha1',
  plural,
  kind,
  namespaced,
});
export const kinds = {
  models: custom('models', 'Model'),
  versions: custom('modelversions', 'ModelVersion'),
  pools: custom('gpupools', 'GPUPool', false),
};

/** Addresses of router pods; each world has its own, since the port is the same everywhere. */
let worlds = 0;

export class World {
  readonly api: ApiServer;
  readonly client: KubeClient;
  readonly pods: Pods;
  readonly router: Router;
  /** Statuses of Models in the order in which they were written. */
  readonly told: NonNullable<Model['status']>[] = [];
  /** What operators printed. */
  output = '';
  readonly #folder: string;
  readonly #connection: Connection;
  readonly #stopControllers: () => Promise<void>;
  #operator: { readonly child: ChildProcess; readonly user: string } | undefined;
  /** By user. */
  readonly #kubeconfigs = new Map<string, string>();
  #suspended: ChildProcess | undefined;

  private constructor(
    folder: string,
    api: ApiServer,
    connection: Connection,
    stopControllers: () => Promise<void>,
    address: string,
  ) {
    this.#folder = folder;
    this.api = api;
    this.#connection = connection;
    this.client = new KubeClient(connection);
    this.#stopControllers = stopControllers;
    this.pods = new Pods(api.adminKubeconfig, address);
    this.router = new Router(api.adminKubeconfig);
    this.router.models.subscribe(({ now }) => {
      if (now?.status !== undefined) this.told.push(now.status);
    });
  }

  static async start(): Promise<World> {
    worlds++;
    const folder = mkdtempSync(join(tmpdir(), 'sluice-reliability-'));
    const options = { host: '127.0.0.1', port: 0, dataDir: join(folder, 'api'), serviceCidr: '10.96.0.0/16' };
    const api = await startApiServer(options);
    const { adminKubeconfig: kubeconfig, caPem: rootCa } = api;
    const stopControllers = await startControllers({ kubeconfig, rootCa, nodeGraceMs: 3_600_000 });
    const address = `127.90.${process.pid % 250}.${worlds}`;
    const world = new World(folder, api, connect(loadAccess(kubeconfig)), stopControllers, address);
    try {
      await world.#furnish();
      await world.pods.start();
      await world.router.start(address);
      return world;
    } catch (error) {
      await world.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#suspended?.kill('SIGKILL');
    await this.killOperator();
    await this.router.stop();
    await this.pods.stop();
    await this.#stopControllers();
    await this.#connection.close?.();
    await this.api.stop();
    rmSync(this.#folder, { recursive: true });
  }

  /**
   * Starts an operator that holds its lease for a short time only, so that a killed one is soon succeeded.
   *
   * @param user who it is to the API server
   * @returns the name that it leads by
   */
  startOperator(user = operatorUser): string {
    const name = `operator-${process.hrtime.bigint()}`;
    const flags = [
      '--runtime-image=sluice/runtime:1',
      '--router-replicas=1',
      '--artifact-schemes=https',
      '--lease-duration=10s',
      '--renew-deadline=8s',
      '--retry-period=100ms',
      '--metrics-port=0',
      '--health-port=0',
    ];
    const main = join(repository, 'operator/main.ts');
    const child = spawn(process.execPath, ['--max-semi-space-size=8', main, ...flags], {
      env: {
        PATH: process.env['PATH'],
        KUBECONFIG: this.#kubeconfigs.get(user),
        POD_NAME: name,
        POD_NAMESPACE: 'default',
        SLUICE_BIND_ADDRESS: '127.0.0.1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout!.on('data', (data) => {
      this.output += data;
    });
    child.stderr!.on('data', (data) => {
      this.output += data;
    });
    this.#operator = { child, user };
    // One that ends by itself, say because a busy machine kept it from renewing its lease, is restarted as by a kubelet.
    child.once('exit', () => {
      if (this.#operator?.child === child) this.startOperator(user);
    });
    return name;
  }

  /**
   * Stops the operator where it stands when it is about to write; it is the operator no more.
   *
   * @returns who it was, and how to let it go on, which resolves when it has ended by itself; undefined when there
   * was calm before it wrote
   */
  async suspendOperator(
    write: { readonly verb: readonly string[]; readonly resource: readonly string[] },
    calm: AbortSignal,
  ): Promise<{ readonly user: string; resume(): Promise<void> } | undefined> {
    const operator = this.#operator!;
    const { child, user } = operator;
    await new Promise<void>((resolve) => {
      const end = this.api.faults.observe((request) => {
        if (request.user !== user || !write.verb.includes(request.verb)) return;
        if (!write.resource.includes(request.resource)) return;
        child.kill('SIGSTOP');
        done();
      });
      const done = () => {
        end();
        resolve();
      };
      calm.addEventListener('abort', done, { once: true });
    });
    if (calm.aborted) {
      child.kill('SIGCONT');
      return undefined;
    }
    this.#operator = undefined;
    this.#suspended = child;
    return {
      user,
      resume: async () => {
        const ended = once(child, 'exit');
        child.kill('SIGCONT');
        await ended;
        this.#suspended = undefined;
      },
    };
  }

  /** Name of the operator that holds the lease. */
  async leader(): Promise<string | undefined> {
    const lease = await this.client.get<Lease>(resources.leases, 'default', leaseName);
    return lease.spec?.holderIdentity;
  }

  async expireLease(): Promise<void> {
    await this.client.delete(resources.leases, 'default', leaseName).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }

  /** Changes what nobody should notice in the end, and changes it back. */
  async flap(turn: number): Promise<void> {
    const patch = (resource: Resource, name: string, spec: object) =>
      this.client.patch(resource, namespace, name, { spec }, { type: 'merge' });
    const [version] = await this.versions();
    if (version === undefined) return;
    const { name } = version.metadata;
    switch (turn % 3) {
      case 0:
        await patch(kinds.versions, name, { replicas: 5 });
        await patch(kinds.versions, name, { replicas: 2 });
        return;
      case 1: {
        const { spec } = await this.model();
        await patch(kinds.models, 'vad', { retention: { warm: 0 } });
        await patch(kinds.models, 'vad', { retention: spec.retention });
        return;
      }
      default: {
        const { server } = version.spec;
        await patch(kinds.versions, name, { server: { threads: 7 } });
        await patch(kinds.versions, name, { server: { threads: server.threads ?? null } });
      }
    }
  }

  /** Ends the operator as a power cut does. */
  async killOperator(): Promise<void> {
    const child = this.#operator?.child;
    this.#operator = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async createVersion(version: string): Promise<void> {
    await this.client.create(kinds.versions, namespace, {
      apiVersion: 'sluice.dev/v1alpha1',
      kind: 'ModelVersion',
      metadata: { name: `vad-${version}` },
      spec: {
        model: 'vad',
        version,
        replicas: 2,
        artifact: { uri: `https://models.example/${version}.onnx` },
      },
    });
  }

  model(): Promise<Model> {
    return this.client.get<Model>(kinds.models, namespace, 'vad');
  }

  async list<T extends KubeObject>(resource: Resource): Promise<readonly T[]> {
    return (await this.client.list<T>(resource, { namespace })).items;
  }

  versions(): Promise<readonly ModelVersion[]> {
    return this.client.list<ModelVersion>(kinds.versions, { namespace }).then(({ items }) => items);
  }

  async #furnish(): Promise<void> {
    for (const file of readdirSync(join(repository, 'crds'))) {
      const definition: unknown = parse(readFileSync(join(repository, 'crds', file), 'utf8'));
      await this.client.create(resources.customresourcedefinitions, undefined, definition);
    }
    await this.client.create(resources.nodes, undefined, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'node' },
    });
    const quantities = { cpu: '64', memory: '256Gi', pods: '200' };
    const now = new Date().toISOString();
    const condition = {
      type: 'Ready',
      status: 'True',
      reason: 'Test',
      lastHeartbeatTime: now,
      lastTransitionTime: now,
    };
    const status = { capacity: quantities, allocatable: quantities, conditions: [condition] };
    await this.client.patch(
      resources.nodes,
      undefined,
      'node',
      { status },
      { type: 'merge', subresource: 'status' },
    );
    await this.#admitOperator();
    try {
      await this.client.create(resources.namespaces, undefined, { metadata: { name: namespace } });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
    await this.client.create(kinds.models, namespace, {
      apiVersion: 'sluice.dev/v1alpha1',
      kind: 'Model',
      metadata: { name: 'vad' },
      spec: {
        serve: { version: 'latest' },
        rollout: {
          // The last hold is longer than an operator may be blind, so that no story turns on who was first.
          steps: [
            { weight: 20, hold: '1s' },
            { weight: 60, hold: '6s' },
          ],
          bake: '1s',
        },
        rollback: { unreadyFor: '1s', startupDeadline: '1m' },
      },
    });
  }

  async #admitOperator(): Promise<void> {
    await this.#admit('operator');
    for (let number = 1; number <= otherOperators; number++) await this.#admit(`operator-${number}`);
  }

  async #admit(name: string): Promise<void> {
    const user = `system:serviceaccount:default:${name}`;
    await this.client.create(resources.serviceaccounts, 'default', { metadata: { name } });
    await this.client.create(resources.clusterrolebindings, undefined, {
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name, namespace: 'default' }],
    });
    const authority = Buffer.from(this.api.caPem).toString('base64');
    const file = join(this.#folder, `${name}.kubeconfig`);
    this.#kubeconfigs.set(user, file);
    const config = {
      'current-context': name,
      clusters: [{ name, cluster: { server: this.api.url, 'certificate-authority-data': authority } }],
      contexts: [{ name, context: { cluster: name, user: name } }],
      users: [{ name, user: { token: this.api.tokenFor(user) } }],
    };
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  }
}
