/**
 * kube-client: a small client of the Kubernetes API for everything here that speaks it: the operator, the router
 * agent and the local cluster. Holds connections, raw JSON calls, typed errors and an informer. It knows no kind of
 * ours, imports no other room, and reads neither clock nor environment except where a connection is loaded.
 *
 * This file: how to reach an API server, and how connections and credentials are renewed while the process lives.
 */
import { readFileSync, statSync } from 'node:fs';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';
import { type Access, loadAccess, type Source } from './kubeconfig.ts';

export interface Connection {
  /** `https://host:port`, maybe with a path. */
  readonly server: string;
  /** Namespace of the kubeconfig's context or of the pod. */
  readonly namespace?: string;
  /** Pooled connections: those of requests time out, those of watches may be silent for ever. */
  dispatcher(purpose: 'request' | 'watch'): Dispatcher;
  /** Headers that say who we are. Call it for every request and before `dispatcher`. */
  headers(): Promise<Record<string, string>>;
  /** Reads all credentials again before the next request; called after an answer 401. */
  refresh?(): void;
  /** Closes every connection at once. */
  close?(): Promise<void>;
}

/** How long a file's content is trusted before it is looked at again, in milliseconds. */
const recheckMs = 10_000;

/**
 * The connection of a kubeconfig file, else of `$KUBECONFIG`, `~/.kube/config` or the pod's service account, in this order.
 * @throws Error naming what is missing or malformed.
 */
export function loadConnection(options: { kubeconfig?: string } = {}): Connection {
  return connect(loadAccess(options.kubeconfig));
}

/** A connection from its parts. */
export function connect(access: Access): Connection {
  return new RenewingConnection(access);
}

interface Agents {
  readonly tls: Tls;
  readonly request: Dispatcher;
  readonly watch: Dispatcher;
}

interface Tls {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

class RenewingConnection implements Connection {
  readonly server: string;
  readonly namespace?: string;
  readonly #access: Access;
  readonly #ca: Renewed | undefined;
  readonly #cert: Renewed | undefined;
  readonly #key: Renewed | undefined;
  readonly #token: Renewed | undefined;
  #plugin: Plugin | undefined;
  #agents: Agents | undefined;
  readonly #retired = new Set<Dispatcher>();
  #closed = false;

  constructor(access: Access) {
    this.#access = access;
    this.server = access.server.replace(/\/+$/, '');
    if (access.namespace !== undefined) this.namespace = access.namespace;
    this.#ca = renewed(access.ca);
    this.#cert = renewed(access.cert);
    this.#key = renewed(access.key);
    this.#token = renewed(access.token);
    this.#plugin = access.plugin === undefined ? undefined : new Plugin(access.plugin);
  }

  dispatcher(purpose: 'request' | 'watch'): Dispatcher {
    if (this.#closed) throw new Error('the connection to the Kubernetes API is closed');
    const tls: Tls = {
      ca: this.#ca?.read(),
      cert: this.#plugin?.cert ?? this.#cert?.read(),
      key: this.#plugin?.key ?? this.#key?.read(),
    };
    const old = this.#agents;
    if (old === undefined || old.tls.ca !== tls.ca || old.tls.cert !== tls.cert || old.tls.key !== tls.key) {
      this.#agents = {
        tls,
        request: this.#dispatcher(tls, { headersTimeout: 60_000, bodyTimeout: 60_000, connections: 64 }),
        watch: this.#dispatcher(tls, { headersTimeout: 60_000, bodyTimeout: 0 }),
      };
      // What runs on the old certificates ends in its own time.
      if (old !== undefined) for (const agent of [old.request, old.watch]) this.#retire(agent);
    }
    return this.#agents![purpose];
  }

  async headers(): Promise<Record<string, string>> {
    const headers: Record<string, string> = {};
    const token = this.#token?.read().trim();
    if (token) headers['authorization'] = `Bearer ${token}`;
    else if (this.#access.basic) {
      const { username, password } = this.#access.basic;
      headers['authorization'] = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    } else if (this.#plugin) {
      const authorization = await this.#plugin.authorization();
      if (authorization !== undefined) headers['authorization'] = authorization;
    }
    if (this.#access.impersonate) headers['impersonate-user'] = this.#access.impersonate;
    return headers;
  }

  refresh(): void {
    for (const source of [this.#ca, this.#cert, this.#key, this.#token]) source?.expire();
    if (this.#access.plugin !== undefined) this.#plugin = new Plugin(this.#access.plugin);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const agents = [...this.#retired];
    if (this.#agents) agents.push(this.#agents.request, this.#agents.watch);
    this.#agents = undefined;
    await Promise.all(agents.map((agent) => agent.destroy()));
  }

  #dispatcher(
    tls: Tls,
    pool: { headersTimeout: number; bodyTimeout: number; connections?: number },
  ): Dispatcher {
    const secure = {
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
      ...(this.#access.serverName === undefined ? {} : { servername: this.#access.serverName }),
      ...(this.#access.insecure ? { rejectUnauthorized: false } : {}),
    };
    // One HTTP/2 connection would carry all watches, and one lost packet would stall them together.
    const options = { ...pool, allowH2: false, pipelining: 1 };
    const connect = { timeout: 10_000, keepAlive: true, keepAliveInitialDelay: 30_000 };
    return this.#access.proxy === undefined
      ? new Agent({ ...options, connect: { ...connect, ...secure } })
      : new ProxyAgent({ ...options, uri: this.#access.proxy, requestTls: { ...connect, ...secure } });
  }

  #retire(agent: Dispatcher): void {
    this.#retired.add(agent);
    agent.close().then(
      () => this.#retired.delete(agent),
      () => this.#retired.delete(agent),
    );
  }
}

/** A value that is read again from its file when the file has changed. */
class Renewed {
  readonly #source: Source;
  #value: string | undefined;
  #stamp = '';
  #checked = Number.NEGATIVE_INFINITY;

  constructor(source: Source) {
    this.#source = source;
  }

  read(): string {
    if ('data' in this.#source) return this.#source.data;
    const now = performance.now();
    if (this.#value !== undefined && now - this.#checked < recheckMs) return this.#value;
    try {
      const stat = statSync(this.#source.file);
      const stamp = `${stat.ino}:${stat.mtimeMs}:${stat.size}`;
      if (this.#value === undefined || stamp !== this.#stamp)
        this.#value = readFileSync(this.#source.file, 'utf8');
      this.#stamp = stamp;
    } catch (error) {
      // A file that is being replaced may be absent for a moment: what was read before still holds.
      if (this.#value === undefined) throw error;
    }
    this.#checked = now;
    return this.#value;
  }

  expire(): void {
    this.#checked = Number.NEGATIVE_INFINITY;
    this.#stamp = '';
  }
}

function renewed(source: Source | undefined): Renewed | undefined {
  return source === undefined ? undefined : new Renewed(source);
}

/** Credentials from an `exec` or `auth-provider` plugin, which client-node runs, caches and renews when they expire. */
class Plugin {
  readonly #kubeconfig: string;
  #loaded: Promise<import('@kubernetes/client-node').KubeConfig> | undefined;
  cert: string | undefined;
  key: string | undefined;

  constructor(kubeconfig: string) {
    this.#kubeconfig = kubeconfig;
  }

  async authorization(): Promise<string | undefined> {
    this.#loaded ??= import('@kubernetes/client-node').then(({ KubeConfig }) => {
      const config = new KubeConfig();
      config.loadFromString(this.#kubeconfig);
      return config;
    });
    const options: { headers: Record<string, string>; cert?: string; key?: string } = { headers: {} };
    await (await this.#loaded).applyToHTTPSOptions(options);
    this.cert = options.cert;
    this.key = options.key;
    return options.headers['Authorization'];
  }
}
