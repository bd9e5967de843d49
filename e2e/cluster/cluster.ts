/**
 * The local cluster as one thing: what demo, scenarios and `npm run up` start. This file composes; what it composes lies
 * in the folders beside it: `api` (the embedded API server), `controllers`, `scheduler`, `node` (kubelets whose pods are
 * local processes, and the service proxy), `assets` (real control planes) and `parts` (the processes all of it runs in).
 * Those speak only the Kubernetes API to each other, so each can be replaced by the real thing.
 *
 * Which cluster there will be is a matter of the environment:
 * - `SLUICE_CLUSTER=external`: none is started; the one that `KUBECONFIG` names is used as it is.
 * - `KUBEBUILDER_ASSETS`: real etcd and kube-apiserver from that folder, kube-controller-manager and kube-scheduler too
 *   where it holds them. Needs a network namespace: see `enterNamespace` in assets/network.ts.
 * - else: everything is ours.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { needsNamespace } from './assets/network.ts';
import { maxNodes } from './assets/slot.ts';
import { defaultNodes, type NodeSpec } from './node-spec.ts';
import type { ControlOptions, ControlReady } from './parts/control.ts';
import type { NodesOptions } from './parts/nodes.ts';
import { startPart } from './parts/part.ts';
import { untilReady } from './ready.ts';

export type ClusterKind = 'embedded' | 'assets' | 'external';

export interface ClusterOptions {
  /** Nodes, at most seven; by default one without and two with GPUs. */
  readonly nodes?: readonly NodeSpec[];
  /** Folder for all files; by default a fresh one that goes with the cluster. */
  readonly folder?: string;
  /** HAProxy's binary for router pods; by default `SLUICE_HAPROXY`, else whatever the PATH has. */
  readonly haproxy?: string;
  /** Folder that `file:` artifacts lie in; by default that of the example's models. */
  readonly fileRoot?: string;
  /** Silence, in milliseconds, after which a node counts as lost. Default 40 s, as in Kubernetes. */
  readonly nodeGraceMs?: number;
  readonly progress?: (message: string) => void;
}

export interface Nodes {
  readonly names: readonly string[];
  /** Ends a node as a power cut does: its pods' processes die, and nobody reports anything. */
  kill(name: string): Promise<void>;
  /** Brings a killed node back. */
  start(name: string): Promise<void>;
}

export interface Cluster {
  readonly kind: ClusterKind;
  /** Path of an administrator's kubeconfig. */
  readonly kubeconfig: string;
  /** Folder of logs; absent where nothing was started. */
  readonly logs: string | undefined;
  /** Absent where the nodes aren't ours. */
  readonly nodes: Nodes | undefined;
  /** Resolves if a part of the cluster ends by itself. */
  readonly lost: Promise<Error>;
  /** Ends everything, and resolves when nothing of it runs any more. */
  stop(): Promise<void>;
}

const prefix = 'sluice-';
const defaultGraceMs = 40_000;
/** How long nodes may take to be usable once they run, in milliseconds. */
const readyMs = 60_000;

/** Starts the cluster that the environment asks for; resolves when kubectl and Helm can work with it. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  if (process.env['SLUICE_CLUSTER'] === 'external') return external();
  if (process.platform !== 'linux') {
    throw new Error(
      'the local cluster needs Linux, where every address of 127.0.0.0/8 can be used; elsewhere use a cluster of your own: ' +
        'SLUICE_CLUSTER=external KUBECONFIG=…',
    );
  }
  if (needsNamespace()) {
    throw new Error('a cluster of KUBEBUILDER_ASSETS must be started by node e2e/cluster/launch.ts COMMAND…');
  }
  const specs = options.nodes ?? defaultNodes;
  if (specs.length > maxNodes) throw new RangeError(`at most ${maxNodes} nodes, not ${specs.length}`);
  const progress = options.progress ?? (() => {});
  const assets = process.env['KUBEBUILDER_ASSETS'] || undefined;
  const folder = options.folder ?? freshFolder();
  const logs = join(folder, 'log');
  mkdirSync(logs, { recursive: true });
  const stops: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).toReversed()) await end();
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
  };
  try {
    progress(assets === undefined ? 'starting the API server' : `starting Kubernetes from ${assets}`);
    const control = await startPart<ControlReady>({
      name: 'control plane',
      module: new URL('./parts/control.ts', import.meta.url),
      options: {
        folder,
        assets,
        nodes: specs,
        nodeGraceMs: options.nodeGraceMs ?? defaultGraceMs,
      } satisfies ControlOptions,
      log: join(logs, 'control.log'),
    });
    stops.push(() => control.stop());
    const { kubeconfig, ca } = control.value;
    progress(`starting ${specs.length} nodes`);
    const nodes = await startPart<undefined>({
      name: 'nodes',
      module: new URL('./parts/nodes.ts', import.meta.url),
      options: {
        kubeconfig,
        ca,
        nodes: control.value.nodes,
        folder: join(folder, 'n'),
        fileRoot: options.fileRoot ?? exampleModels(),
        haproxy: options.haproxy ?? process.env['SLUICE_HAPROXY'],
      } satisfies NodesOptions,
      log: join(logs, 'nodes.log'),
    });
    stops.push(() => nodes.stop());
    await untilReady(
      kubeconfig,
      specs.map(({ name }) => name),
      readyMs,
    );
    return {
      kind: assets === undefined ? 'embedded' : 'assets',
      kubeconfig,
      logs,
      nodes: {
        names: specs.map(({ name }) => name),
        kill: (name) => nodes.call('kill', name),
        start: (name) => nodes.call('start', name),
      },
      lost: Promise.race([control.lost, nodes.lost]),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function external(): Cluster {
  const kubeconfig = process.env['KUBECONFIG'];
  if (!kubeconfig) throw new Error('SLUICE_CLUSTER=external needs KUBECONFIG to name a kubeconfig');
  return {
    kind: 'external',
    kubeconfig,
    logs: undefined,
    nodes: undefined,
    lost: new Promise(() => {}),
    stop: async () => {},
  };
}

/** A folder of our own, after clearing away those of clusters that died without doing it. The path is short: sockets in it may have 107 characters. */
function freshFolder(): string {
  const parent = tmpdir();
  for (const name of readdirSync(parent)) {
    const owner = join(parent, name, 'owner');
    if (!name.startsWith(prefix) || !existsSync(owner)) continue;
    if (!isAlive(Number(readFileSync(owner, 'utf8')))) {
      rmSync(join(parent, name), { recursive: true, force: true });
    }
  }
  const folder = mkdtempSync(join(parent, prefix));
  writeFileSync(join(folder, 'owner'), String(process.pid));
  return folder;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** The package of the example's models carries them in the same folder as its code. */
function exampleModels(): string {
  return dirname(createRequire(import.meta.url).resolve('@ricky0123/vad-web'));
}
