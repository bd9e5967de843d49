/** The process of all nodes and of the service proxy. */
import { join } from 'node:path';
import { KubeClient } from '../../../kube-client/client.ts';
import { loadConnection } from '../../../kube-client/connection.ts';
import type { Identity } from '../assets/certificates.ts';
import { addressesOf } from '../node/addresses.ts';
import { type Images, sluiceImages } from '../node/images.ts';
import { type RunningNode, startNode } from '../node/node.ts';
import { podKubeconfigOf } from '../node/pod-kubeconfig.ts';
import { startServiceProxy } from '../node/service-proxy.ts';
import type { NodeSpec } from '../node-spec.ts';
import { jsonLogger } from './log.ts';
import { type Served, servePart } from './serve.ts';

export interface NodesOptions {
  readonly kubeconfig: string;
  /** Certificate (PEM) of the API server. */
  readonly ca: string;
  readonly nodes: readonly PlacedNode[];
  /** Existing folder for the files of pods. */
  readonly folder: string;
  /** Folder that `file:` artifacts lie in. */
  readonly fileRoot: string;
  /** HAProxy's binary. */
  readonly haproxy: string | undefined;
}

/** A node and where it is. */
export interface PlacedNode {
  readonly spec: NodeSpec;
  readonly address: string;
  readonly podCidr: string;
  /** What its kubelet's server shows to the API server. */
  readonly kubelet: Identity;
}

const kubeletPort = 10_250;

async function start(options: NodesOptions): Promise<Served> {
  const connection = loadConnection({ kubeconfig: options.kubeconfig });
  const client = new KubeClient(connection, { userAgent: 'sluice-cluster-nodes' });
  const logger = jsonLogger('node', process.env['SLUICE_CLUSTER_DEBUG'] ? 'debug' : 'info');
  const kubeconfig = podKubeconfigOf(connection.server, options.ca);
  const images = withEnv(
    sluiceImages({ fileRoot: options.fileRoot }),
    options.haproxy === undefined ? {} : { SLUICE_HAPROXY: options.haproxy },
  );
  const placed = new Map(options.nodes.map((node) => [node.spec.name, node]));
  const running = new Map<string, RunningNode>();

  async function startOne(name: unknown): Promise<void> {
    const node = placed.get(String(name));
    if (node === undefined) throw new Error(`there is no node ${name}`);
    if (running.has(node.spec.name)) return;
    const { spec, address, podCidr } = node;
    running.set(
      spec.name,
      await startNode({
        client,
        name: spec.name,
        labels: spec.labels ?? {},
        taints: spec.taints ?? [],
        capacity: spec.capacity,
        podAddresses: addressesOf(podCidr),
        podCIDR: podCidr,
        rootDir: join(options.folder, spec.name),
        address,
        kubeconfig,
        images,
        // Clients of the kubelet are known by the authority of the API server.
        serving: { ...node.kubelet, clientCa: options.ca },
        port: kubeletPort,
        logger,
      }),
    );
  }

  async function killOne(name: unknown): Promise<void> {
    const node = running.get(String(name));
    if (node === undefined) throw new Error(`no node ${name} runs`);
    running.delete(node.name);
    await node.stop();
  }

  const proxy = await startServiceProxy({ client, logger });
  await Promise.all([...placed.keys()].map(startOne));
  return {
    value: undefined,
    calls: { start: startOne, kill: killOne },
    async stop() {
      await Promise.all([...running.values()].map((node) => node.stop()));
      await proxy.stop();
      await connection.close?.();
    },
  };
}

function withEnv(images: Images, env: Readonly<Record<string, string>>): Images {
  return Object.fromEntries(
    Object.entries(images).map(([name, image]) => [name, { ...image, env: { ...image.env, ...env } }]),
  );
}

servePart((options) => start(options as NodesOptions));
