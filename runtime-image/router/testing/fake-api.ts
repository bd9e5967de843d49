/** The two collections that a router watches, as an API server would serve them. It can be away. */
import { writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { labels, routerPorts } from '#contract';
import type { KubeObject } from '../../../kube-client/object.ts';
import { podPorts } from './pod.ts';

const kinds: Readonly<Record<string, string>> = { models: 'Model', endpointslices: 'EndpointSlice' };

function modelName(at: number | undefined): string {
  return at === undefined ? 'm' : `m${at}`;
}

export class FakeApi {
  readonly #server: Server;
  readonly #objects = new Map<string, KubeObject>();
  readonly #watches = new Map<ServerResponse, string>();
  #version = 1;

  constructor() {
    this.#server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://api');
      const plural = url.pathname.split('/').at(-1) ?? '';
      response.setHeader('content-type', 'application/json');
      if (!(plural in kinds)) {
        response.writeHead(404).end('{}');
      } else if (url.searchParams.get('watch')) {
        response.flushHeaders();
        this.#watches.set(response, plural);
        response.on('close', () => this.#watches.delete(response));
      } else {
        const items = [...this.#objects.values()].filter((object) => object.kind === kinds[plural]);
        response.end(
          JSON.stringify({
            kind: `${kinds[plural]}List`,
            metadata: { resourceVersion: String(this.#version) },
            items,
          }),
        );
      }
    });
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  /** Writes a kubeconfig that leads here. @returns its path */
  async kubeconfig(folder: string): Promise<string> {
    const server = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    const path = join(folder, 'kubeconfig');
    await writeFile(
      path,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'c',
        clusters: [{ name: 'c', cluster: { server } }],
        users: [{ name: 'c', user: {} }],
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
      }),
    );
    return path;
  }

  /**
   * A Model with these shares in percent, as the operator would write it; the first version named is stable.
   * @param at which Model of the namespace: its name ends with the number and its port is so much higher
   */
  putModel(generation: number, weights: Readonly<Record<string, number>>, at?: number): void {
    const traffic = Object.entries(weights).map(([version, weight]) => ({ version, weight }));
    const name = modelName(at);
    const port = routerPorts.firstModel + (at ?? 0);
    this.put({
      apiVersion: 'sluice.dev/v1alpha1',
      kind: 'Model',
      metadata: { name, uid: `uid-${name}` },
      status: { stable: traffic[0]?.version, traffic, routers: { port, generation } },
    } as never);
  }

  /** The ready pods of a version. */
  putSlice(version: string, addresses: readonly string[], at?: number): void {
    const model = modelName(at);
    this.put({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `${model}-${version}`,
        labels: { [labels.model]: model, [labels.version]: version },
      },
      addressType: 'IPv4',
      ports: Object.entries(podPorts).map(([name, port]) => ({ name, port })),
      endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    } as never);
  }

  /** Stores an object and tells those who watch. */
  put(object: KubeObject): void {
    const known = this.#objects.has(`${object.kind} ${object.metadata.name}`);
    const stored = {
      ...object,
      metadata: { namespace: 'ns', ...object.metadata, resourceVersion: String(++this.#version) },
    };
    this.#objects.set(`${object.kind} ${object.metadata.name}`, stored);
    for (const [response, plural] of this.#watches)
      if (kinds[plural] === object.kind)
        response.write(`${JSON.stringify({ type: known ? 'MODIFIED' : 'ADDED', object: stored })}\n`);
  }

  /** Cuts everybody off and answers nobody. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
