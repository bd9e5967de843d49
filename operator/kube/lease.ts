/**
 * Leader election by a Lease (coordination.k8s.io/v1), as client-go's: whoever holds it renews it; whoever sees it
 * unrenewed for its whole duration, by their own clock, takes it. Clocks of different machines are never compared.
 *
 * Beyond client-go: candidates watch the lease, so one that is released is taken at once, not at the next try.
 */
import type { KubeClient } from '../../kube-client/client.ts';
import { isAlreadyExists, isConflict, isNotFound, KubeError } from '../../kube-client/errors.ts';
import { Informer } from '../../kube-client/informer.ts';
import { type Logger, silent } from '../../kube-client/logger.ts';
import type { KubeObject } from '../../kube-client/object.ts';
import { resources } from '../../kube-client/resources.ts';
import type { Clock } from '../engine/clock.ts';
import { type Fence, NotLeading } from './fence.ts';
import { microTime } from './times.ts';

export interface Lease extends KubeObject {
  spec?: {
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

export interface LeaseOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Who we are; unique among candidates. */
  readonly identity: string;
  readonly clock: Clock;
  readonly logger?: Logger;
  /** How long others respect a lease that is not renewed. Default 15 s. */
  readonly durationMs?: number;
  /** How long the holder may fail to renew before it gives up; less than the duration. Default 10 s. */
  readonly renewDeadlineMs?: number;
  /** Time between two tries. Default 2 s. */
  readonly retryMs?: number;
  /** Milliseconds that never go back. */
  readonly monotonic?: () => number;
}

/** What a candidate last saw of the lease, and when by its own clock. */
interface Sighting {
  readonly version: string;
  readonly at: number;
}

export class LeaderElector implements Fence {
  /** Resolves when this process holds the lease. */
  readonly elected: Promise<void>;
  /** Resolves with the reason when the lease, once held, is lost. */
  readonly lost: Promise<string>;
  readonly #options: LeaseOptions;
  readonly #logger: Logger;
  readonly #durationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryMs: number;
  readonly #monotonic: () => number;
  readonly #elected = Promise.withResolvers<void>();
  readonly #lost = Promise.withResolvers<string>();
  readonly #fence = new AbortController();
  readonly #stopping = new AbortController();
  #wake: () => void = () => {};
  #sighting: Sighting | undefined;
  /** Until when we may write, by the monotonic clock; undefined: we never led. */
  #leadsUntil: number | undefined;
  #running: Promise<void> | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silent;
    this.#durationMs = options.durationMs ?? 15_000;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryMs = options.retryMs ?? 2_000;
    this.#monotonic = options.monotonic ?? (() => performance.now());
    this.elected = this.#elected.promise;
    this.lost = this.#lost.promise;
    if (this.#renewDeadlineMs >= this.#durationMs)
      throw new RangeError('the renew deadline must be shorter than the lease');
    if (this.#retryMs >= this.#renewDeadlineMs)
      throw new RangeError('the retry period must be shorter than the renew deadline');
  }

  get signal(): AbortSignal {
    return this.#fence.signal;
  }

  get leading(): boolean {
    return (
      !this.#fence.signal.aborted && this.#leadsUntil !== undefined && this.#monotonic() < this.#leadsUntil
    );
  }

  check(): void {
    if (!this.leading) throw new NotLeading();
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /**
   * Stops to write at once and, when we hold the lease, gives it back, so that another takes it without waiting.
   * Call it after everything that writes has ended.
   */
  async stop(): Promise<void> {
    const held = this.leading;
    this.#stopping.abort();
    this.#wake();
    this.#fence.abort(new NotLeading());
    await this.#running;
    if (held) await this.#release();
  }

  async #run(): Promise<void> {
    const { client, namespace, name } = this.#options;
    const watch = new Informer<Lease>(client, resources.leases, {
      namespace,
      fieldSelector: `metadata.name=${name}`,
      logger: this.#logger,
    });
    watch.subscribe(({ now }) => {
      if (this.#leadsUntil === undefined && (now === undefined || !now.spec?.holderIdentity)) this.#wake();
    });
    watch.start();
    try {
      while (!this.#stopping.signal.aborted) {
        await this.#try();
        if (this.#leadsUntil !== undefined) {
          await watch.stop();
          if (this.#monotonic() >= this.#leadsUntil) return this.#lose('could not renew the lease in time');
        }
        if (this.signal.aborted) return;
        await this.#pause();
      }
    } finally {
      await watch.stop();
    }
  }

  async #pause(): Promise<void> {
    const left =
      this.#leadsUntil === undefined ? Number.POSITIVE_INFINITY : this.#leadsUntil - this.#monotonic();
    // Candidates spread out; a holder is regular.
    const ms = this.#leadsUntil === undefined ? this.#retryMs * (1 + Math.random() * 0.2) : this.#retryMs;
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.setTimer(Math.max(0, Math.min(ms, left)), resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
      if (this.#stopping.signal.aborted) this.#wake();
    });
  }

  /** One try to take or renew the lease. */
  async #try(): Promise<void> {
    // The lease counts from before the call: the server may have written it then.
    const started = this.#monotonic();
    const leadsUntil = started + this.#renewDeadlineMs;
    const left = (this.#leadsUntil ?? leadsUntil) - started;
    const timeout = AbortSignal.timeout(Math.max(1, Math.ceil(Math.min(left, this.#renewDeadlineMs))));
    const signal = AbortSignal.any([timeout, this.#stopping.signal]);
    try {
      if (!(await this.#write(signal))) return;
      const first = this.#leadsUntil === undefined;
      this.#leadsUntil = leadsUntil;
      if (first) this.#elected.resolve();
    } catch (thrown) {
      if (this.#stopping.signal.aborted) return;
      const error = KubeError.from(thrown);
      this.#logger.warn(
        `cannot ${this.#leadsUntil === undefined ? 'take' : 'renew'} the lease: ${error.message}`,
      );
    }
  }

  /** @returns whether the lease is ours now. */
  async #write(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, identity, clock } = this.#options;
    const now = microTime(clock.now());
    const mine = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#durationMs / 1000),
      renewTime: now,
    };
    let lease: Lease;
    try {
      lease = await client.get<Lease>(resources.leases, namespace, name, { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      if (this.#leadsUntil !== undefined) return this.#taken('the lease was deleted');
      const spec = { ...mine, acquireTime: now, leaseTransitions: 0 };
      const object = {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name, namespace },
        spec,
      };
      try {
        await client.create(resources.leases, namespace, object, { signal });
        return true;
      } catch (failure) {
        if (isAlreadyExists(failure)) return false;
        throw failure;
      }
    }
    const holder = lease.spec?.holderIdentity;
    if (this.#leadsUntil !== undefined && holder !== identity)
      return this.#taken(`${holder || 'nobody'} holds it`);
    if (holder !== identity && !this.#isFree(lease)) return false;
    const former = lease.spec ?? {};
    const spec =
      holder === identity
        ? { ...former, ...mine }
        : { ...former, ...mine, acquireTime: now, leaseTransitions: (former.leaseTransitions ?? 0) + 1 };
    try {
      // With the resource version that was read: of two who try, one fails.
      await client.replace(resources.leases, namespace, name, { ...lease, spec }, { signal });
      return true;
    } catch (failure) {
      if (isConflict(failure)) return false;
      throw failure;
    }
  }

  #isFree(lease: Lease): boolean {
    if (!lease.spec?.holderIdentity) return true;
    const now = this.#monotonic();
    const version = lease.metadata.resourceVersion ?? '';
    if (this.#sighting?.version !== version) this.#sighting = { version, at: now };
    const durationMs = (lease.spec.leaseDurationSeconds ?? this.#durationMs / 1000) * 1000;
    return now - this.#sighting.at > durationMs;
  }

  #taken(how: string): false {
    this.#lose(`the lease is not ours any more: ${how}`);
    return false;
  }

  #lose(reason: string): void {
    this.#fence.abort(new NotLeading());
    this.#lost.resolve(reason);
  }

  async #release(): Promise<void> {
    const { client, namespace, name, identity, clock } = this.#options;
    const signal = AbortSignal.timeout(2_000);
    try {
      const lease = await client.get<Lease>(resources.leases, namespace, name, { signal });
      if (lease.spec?.holderIdentity !== identity) return;
      const now = microTime(clock.now());
      const spec = {
        ...lease.spec,
        holderIdentity: '',
        leaseDurationSeconds: 1,
        renewTime: now,
        acquireTime: now,
      };
      await client.replace(resources.leases, namespace, name, { ...lease, spec }, { signal });
    } catch (error) {
      this.#logger.warn(`cannot give the lease back: ${KubeError.from(error).message}`);
    }
  }
}
