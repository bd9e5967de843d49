/** What tests of this room share: a scripted API, a client of it, and small objects. */
import { KubeClient } from '../../kube-client/client.ts';
import { type Connection, connect } from '../../kube-client/connection.ts';
import type { Logger } from '../../kube-client/logger.ts';
import { ScriptedApi } from '../../kube-client/testing/scripted-api.ts';
import type { Model } from '../api/generated/model.ts';
import type { Fence } from './fence.ts';
import { NotLeading } from './fence.ts';

export class TestWorld {
  readonly api = new ScriptedApi();
  readonly warnings: string[] = [];
  readonly logger: Logger;
  #connection: Connection | undefined;

  constructor() {
    const warn = (message: string) => this.warnings.push(message);
    this.logger = { debug() {}, info() {}, warn, error: warn };
  }

  async start(): Promise<KubeClient> {
    await this.api.start();
    this.#connection = connect({ server: `http://127.0.0.1:${this.api.port}` });
    return this.client();
  }

  client(): KubeClient {
    if (this.#connection === undefined) throw new Error('not started');
    return new KubeClient(this.#connection);
  }

  async stop(): Promise<void> {
    await this.#connection?.close?.();
    await this.api.stop();
  }

  /** Requests so far as `METHOD path`. */
  calls(): string[] {
    return this.api.requests.map(({ method, path }) => `${method} ${path}`);
  }
}

/** A fence that a test closes. */
export class TestFence implements Fence {
  readonly #abort = new AbortController();
  readonly signal = this.#abort.signal;

  close(): void {
    this.#abort.abort(new NotLeading());
  }

  check(): void {
    if (this.signal.aborted) throw new NotLeading();
  }
}

export function aModel(name = 'vad', metadata: Partial<Model['metadata']> = {}): Model {
  return {
    apiVersion: 'sluice.dev/v1alpha1',
    kind: 'Model',
    metadata: { name, namespace: 'speech', uid: 'uid-of-model', resourceVersion: '7', ...metadata },
    spec: {} as Model['spec'],
  };
}
