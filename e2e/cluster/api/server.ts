/**
 * The embedded Kubernetes API server: HTTPS, one in-memory store, the rules of the kinds we and Helm use. It behaves as
 * Kubernetes 1.36 does towards kubectl, Helm and controllers, and holds nothing of Sluice. Controllers, scheduler and
 * nodes are separate and speak HTTP to it.
 */
import type { Server } from 'node:https';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { Admission } from './admission/admission.ts';
import { escalationCheck } from './admission/escalation.ts';
import { namespaceLifecycle } from './admission/namespaces.ts';
import { podSecurity } from './admission/pod-security.ts';
import { defaultTolerations, priorities, runtimeClasses, serviceAccounts } from './admission/pods.ts';
import { loadCredentials, writeKubeconfig } from './auth/files.ts';
import { Tokens } from './auth/tokens.ts';
import { Authorizer } from './authz/authorizer.ts';
import { bootstrap, firstAddress } from './bootstrap.ts';
import { cleanUpDefinitions } from './crd-cleanup.ts';
import { keepEventsShort } from './expiry.ts';
import { Faults } from './faults.ts';
import { type App, handle } from './http/app.ts';
import { handleUpgrade } from './http/upgrade.ts';
import { builtinKinds } from './kinds/builtin.ts';
import { crdRules } from './kinds/crd.ts';
import { Registry } from './kinds/registry.ts';
import type { Core } from './resource/call.ts';
import { Watches } from './resource/watch.ts';
import { Store } from './store/store.ts';

export interface ApiServerOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** For certificates and the administrator's kubeconfig; created when missing, reused when not. */
  readonly dataDir: string;
  /** IPv4 range of Service addresses, such as 10.96.0.0/16. */
  readonly serviceCidr: string;
  readonly logger?: { error(message: string, details?: Record<string, unknown>): void };
}

export interface ApiServer {
  readonly url: string;
  readonly caPem: string;
  /** Path of a kubeconfig with all rights. */
  readonly adminKubeconfig: string;
  readonly faults: Faults;
  /**
   * Bearer token of a user: `admin`, a component (`system:kube-scheduler`, `system:node:<name>`), or
   * `system:serviceaccount:<namespace>:<name>` for an account that exists.
   */
  tokenFor(user: string): string;
  /** Ends all connections and closes the port. */
  stop(): Promise<void>;
}

const version = 'v1.36.2';

export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const store = new Store();
  const registry = new Registry();
  const watches = new Watches();
  const serviceAddress = firstAddress(options.serviceCidr);
  const hosts = [
    ...new Set([options.host, '127.0.0.1', serviceAddress]),
    'localhost',
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    'kubernetes.default.svc.cluster.local',
  ].filter((host) => host !== '0.0.0.0');
  const credentials = loadCredentials(options.dataDir, hosts);
  const authorizer = new Authorizer(store);
  registry.onChange(() => {
    // What a definition no longer serves cannot be watched either.
    for (const watch of watches.running) {
      if (!registry.anyVersion(watch.group, watch.resource)) watch.close(false);
    }
  });
  const admission = new Admission([
    namespaceLifecycle,
    serviceAccounts,
    priorities,
    runtimeClasses,
    defaultTolerations,
    podSecurity,
    escalationCheck(authorizer),
  ]);
  const core: Core = { store, registry, admission, serviceCidr: options.serviceCidr, now: () => new Date() };
  for (const kind of builtinKinds({ CustomResourceDefinition: crdRules(registry) })) registry.add(kind);
  const tokens = new Tokens(store, credentials.serviceAccountKey, credentials.serviceAccountPublicKey);
  const app: App = {
    core,
    tokens,
    authorizer,
    watches,
    faults: new Faults(watches, store),
    kubeletClient: credentials.kubeletClient,
    version,
    onError: (error, request) =>
      options.logger?.error('a request failed inside the API server', {
        method: request.method,
        url: request.url,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
  };
  cleanUpDefinitions(core);
  const stopExpiry = keepEventsShort(store);

  const sockets = new Set<Duplex>();
  const server = createServer(
    { cert: credentials.server.cert, key: credentials.server.key, keepAliveTimeout: 90_000 },
    (request, response) => void handle(app, request, response),
  );
  server.on('upgrade', (request, socket, head) => handleUpgrade(app, request, socket, head));
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  const reachable = options.host === '0.0.0.0' ? '127.0.0.1' : options.host;
  const url = `https://${reachable}:${port}`;
  bootstrap(core, { host: reachable, port });

  const adminKubeconfig = join(options.dataDir, 'admin.kubeconfig');
  writeKubeconfig(adminKubeconfig, {
    server: url,
    ca: credentials.ca,
    user: 'admin',
    token: tokens.tokenFor('admin'),
  });
  return {
    url,
    caPem: credentials.ca,
    adminKubeconfig,
    faults: app.faults,
    tokenFor: (user) => tokens.tokenFor(user),
    stop: () =>
      new Promise((resolve, reject) => {
        stopExpiry();
        server.close((error) => (error ? reject(error) : resolve()));
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function listen(server: Server, { host, port }: ApiServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
