/**
 * A router as the operator sees it: it follows the Models of the cluster at once, knows a pod of every version, and
 * counts nothing.
 */
import { fileURLToPath } from 'node:url';
import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { routerPorts, telemetryProto } from '#contract';
import { KubeClient } from '../../kube-client/client.ts';
import { connect } from '../../kube-client/connection.ts';
import { Informer } from '../../kube-client/informer.ts';
import { loadAccess } from '../../kube-client/kubeconfig.ts';
import type { Model } from '../../operator/api/generated/model.ts';

type Stream = ServerWritableStream<object, object>;

const models = {
  group: 'sluice.dev',
  version: 'v1alpha1',
  plural: 'models',
  kind: 'Model',
  namespaced: true,
};

export class Router {
  readonly models: Informer<Model>;
  readonly #streams = new Set<Stream>();
  readonly #server = new Server();
  readonly #close: () => Promise<void>;
  #timer: NodeJS.Timeout | undefined;

  constructor(kubeconfig: string) {
    const connection = connect(loadAccess(kubeconfig));
    this.#close = async () => connection.close?.();
    this.models = new Informer<Model>(new KubeClient(connection), models);
  }

  async start(address: string): Promise<void> {
    const loaded = loadPackageDefinition(loadSync(fileURLToPath(telemetryProto))) as unknown as {
      sluice: { router: { v1: { Telemetry: ServiceClientConstructor } } };
    };
    this.#server.addService(loaded.sluice.router.v1.Telemetry.service, {
      Watch: (stream: Stream) => {
        this.#streams.add(stream);
        for (const end of ['cancelled', 'error', 'close']) stream.on(end, () => this.#streams.delete(stream));
        this.#report();
      },
    });
    await new Promise<void>((resolve, reject) =>
      this.#server.bindAsync(
        `${address}:${routerPorts.telemetry}`,
        ServerCredentials.createInsecure(),
        (error) => (error ? reject(error) : resolve()),
      ),
    );
    this.models.subscribe(() => this.#report());
    this.models.start();
    await this.models.synced;
    this.#timer = setInterval(() => this.#report(), 500);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.models.stop();
    this.#server.forceShutdown();
    await this.#close();
  }

  #report(): void {
    const followed = this.models.list().flatMap(({ metadata, status }) =>
      status?.routers === undefined
        ? []
        : [
            {
              model: metadata.name,
              uid: metadata.uid,
              generation: status.routers.generation,
              versions: (status.traffic ?? []).map(({ version }) => ({ version, pods: 1 })),
            },
          ],
    );
    for (const stream of this.#streams) stream.write({ router: 'r', epoch: 'e', models: followed });
  }
}
