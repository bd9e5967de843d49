/** The runtime image's load command as a Pod of the cluster: requests come from where clients are. */
import { createInterface } from 'node:readline';
import type { KubeClient } from '../../../kube-client/client.ts';
import { pathOf, resources } from '../../../kube-client/resources.ts';
import type { World } from './world.ts';

export interface LoadOptions {
  readonly name: string;
  readonly image: string;
  readonly target: { readonly rest: string } | { readonly grpc: string };
  /** A ConfigMap of the namespace, and the request file in it. */
  readonly requests: { readonly configMap: string; readonly file: string };
  /** More arguments of the load command. */
  readonly args?: readonly string[];
}

export interface Latencies {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface LoadCount {
  readonly requests: number;
  readonly errors: number;
  /** Milliseconds; absent when nothing was answered. */
  readonly latencyMs?: Latencies;
}

export interface LoadCounts extends LoadCount {
  readonly versions: Readonly<Record<string, LoadCount>>;
}

export interface LoadTotal extends LoadCounts {
  readonly errorKinds: Readonly<Record<string, number>>;
  readonly failures: readonly {
    readonly at: string;
    readonly error: string;
    readonly message: string;
    readonly version?: string;
  }[];
}

export type LoadLine =
  | { readonly kind: 'start'; readonly at: string }
  | {
      readonly kind: 'interval';
      readonly at: string;
      readonly seconds: number;
      readonly recent: LoadCounts;
      readonly total: LoadTotal;
    }
  | { readonly kind: 'failure'; readonly at: string; readonly error: string; readonly message: string }
  | {
      readonly kind: 'answer';
      readonly step: number;
      readonly version?: string;
      readonly outputs: Readonly<Record<string, readonly number[]>>;
    }
  | ({
      readonly kind: 'summary';
      readonly at: string;
      readonly seconds: number;
      readonly throughput: number;
    } & LoadTotal);

const mount = '/requests';

/** The Pod. It meets Pod Security `restricted`. */
export function loadPod(options: LoadOptions): Record<string, unknown> {
  const { name, image, target, requests, args = [] } = options;
  const to = 'rest' in target ? `--url=${target.rest}` : `--grpc=${target.grpc}`;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { 'app.kubernetes.io/name': 'sluice-load' } },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 15,
      securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'load',
          image,
          imagePullPolicy: 'IfNotPresent',
          args: ['load', to, `--request=${mount}/${requests.file}`, ...args],
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          volumeMounts: [{ name: 'requests', mountPath: mount, readOnly: true }],
        },
      ],
      volumes: [{ name: 'requests', configMap: { name: requests.configMap } }],
    },
  };
}

export class Load {
  readonly name: string;
  readonly #client: KubeClient;
  readonly #world: World;
  readonly #lines: LoadLine[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #stop = new AbortController();
  #ended = false;
  #following: Promise<void> = Promise.resolve();

  private constructor(client: KubeClient, world: World, name: string) {
    this.#client = client;
    this.#world = world;
    this.name = name;
  }

  /** Creates the Pod and resolves when it sends. */
  static async start(client: KubeClient, world: World, options: LoadOptions): Promise<Load> {
    await client.create(resources.pods, world.namespace, loadPod(options));
    const load = new Load(client, world, options.name);
    await world.until(`load ${options.name} to run`, () => {
      const phase = world.pod(options.name)?.status?.phase;
      return phase !== undefined && phase !== 'Pending';
    });
    load.#following = load.#follow();
    await load.until('a first line', (lines) => lines.length > 0);
    return load;
  }

  /** What it has printed, in order. */
  get lines(): readonly LoadLine[] {
    return this.#lines;
  }

  /** Everything it has counted, as of its last line that counts. */
  total(): LoadTotal | undefined {
    const line = this.#lines.findLast(({ kind }) => kind === 'interval' || kind === 'summary');
    if (line?.kind === 'interval') return line.total;
    return line?.kind === 'summary' ? line : undefined;
  }

  /** The first truthy value of `look`, asked now and after every line. */
  until<T>(
    what: string,
    look: (lines: readonly LoadLine[]) => T | undefined | false,
    timeoutMs = 60_000,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        this.#waiting.delete(attempt);
        clearTimeout(timer);
        act();
      };
      const attempt = () => {
        const found = look(this.#lines);
        if (found) settle(() => resolve(found));
        else if (this.#ended)
          settle(() => reject(new Error(`load ${this.name} ended before ${what}\n${this.#tail()}`)));
      };
      const timer = setTimeout(
        () =>
          settle(() =>
            reject(
              new Error(`waited ${timeoutMs / 1000} s for ${what} of load ${this.name}\n${this.#tail()}`),
            ),
          ),
        timeoutMs,
      );
      this.#waiting.add(attempt);
      attempt();
    });
  }

  /** Resolves when `count` more requests have been answered or have failed. */
  async more(count: number, timeoutMs = 60_000): Promise<void> {
    const before = this.total()?.requests ?? 0;
    await this.until(
      `${count} more requests`,
      () => (this.total()?.requests ?? 0) >= before + count,
      timeoutMs,
    );
  }

  /** Waits until it ends by itself. */
  async finished(timeoutMs = 120_000): Promise<Extract<LoadLine, { kind: 'summary' }>> {
    return this.until('its summary', (lines) => lines.find((line) => line.kind === 'summary'), timeoutMs);
  }

  /** Tells it to stop, and resolves to everything that it counted. */
  async stop(): Promise<Extract<LoadLine, { kind: 'summary' }>> {
    await this.#client.delete(resources.pods, this.#world.namespace, this.name);
    const summary = await this.finished(30_000);
    await this.dispose();
    return summary;
  }

  /** Stops listening and removes the Pod, whatever its state. */
  async dispose(): Promise<void> {
    this.#stop.abort();
    await this.#following;
    await this.#client
      .delete(resources.pods, this.#world.namespace, this.name, { gracePeriodSeconds: 0 })
      .catch(() => undefined);
  }

  async #follow(): Promise<void> {
    const path = `${pathOf(resources.pods, this.#world.namespace, this.name, 'log')}`;
    try {
      const response = await this.#client.raw('GET', path, {
        query: { follow: true },
        accept: '*/*',
        purpose: 'watch',
        signal: this.#stop.signal,
      });
      for await (const line of createInterface({
        input: response.body,
        crlfDelay: Number.POSITIVE_INFINITY,
      })) {
        this.#read(line);
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) {
        this.#lines.push({
          kind: 'failure',
          at: new Date().toISOString(),
          error: 'log',
          message: `its log broke off: ${(error as Error).message}`,
        });
      }
    } finally {
      this.#ended = true;
      for (const look of [...this.#waiting]) look();
    }
  }

  #read(line: string): void {
    if (line.startsWith('{')) this.#lines.push(JSON.parse(line) as LoadLine);
    // Not one of its own lines: what the process said when it could not start.
    else this.#lines.push({ kind: 'failure', at: new Date().toISOString(), error: 'stderr', message: line });
    for (const look of [...this.#waiting]) look();
  }

  #tail(): string {
    return this.#lines
      .slice(-5)
      .map((line) => JSON.stringify(line))
      .join('\n');
  }
}
