/** The two collections that a router watches, as an API server would serve them. It can be away. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubeObject } from '../../../kube-client/object.ts';

const kinds: Readonly<Record<string, string>> = { models: 'Model', endpointslices: 'EndpointSlice' };

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

  /** @returns the server's address, as in a kubeconfig */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
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
