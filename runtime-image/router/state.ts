/** What the router is to do, free of Kubernetes and of HAProxy's syntax. All of it is plain JSON. */
import type { Policy } from './policy.ts';
import type { Share } from './split.ts';

/** A version's backend pair carries either plain HTTP/1.1 or HTTP/2 with gRPC in it. */
export type Kind = 'http' | 'grpc';

/** One model as its status asks for it. */
export interface ModelInput {
  readonly name: string;
  readonly uid: string;
  /** Port that the model's Service sends to. */
  readonly port: number;
  /** `status.routers.generation`. */
  readonly generation: number;
  /** Version that takes over the share of one without servers. */
  readonly stable?: string;
  readonly traffic: readonly { readonly version: string; readonly weight: number }[];
  /** What it asks for besides shares; absent: nothing. */
  readonly policy?: Policy;
  /** Versions that routes of the policy may lead to now. */
  readonly routed?: readonly string[];
}

/** One pod of a version. */
export interface EndpointInput {
  readonly model: string;
  readonly version: string;
  readonly address: string;
  readonly ports: { readonly http?: number; readonly grpc?: number };
  /** `terminating` still answers, and is used only if no pod of the model is ready. */
  readonly state: 'ready' | 'terminating';
  /** Requests that it can answer at the same time; absent when that is not known. */
  readonly targetConcurrency?: number;
}

/** Everything that is known of the namespace. */
export interface Inputs {
  readonly models: readonly ModelInput[];
  readonly endpoints: readonly EndpointInput[];
}

/** A version's place in the pool of backends. */
export interface Slot {
  readonly slot: number;
  readonly model: string;
  readonly uid: string;
  readonly version: string;
}

export interface Server {
  readonly slot: number;
  readonly kind: Kind;
  readonly address: string;
  readonly port: number;
  /** Port of `/v2/health/ready`; absent: not checked actively. */
  readonly checkPort?: number;
  /** Requests that it gets at the same time; more wait here for the first server that is free. Absent: any number. */
  readonly limit?: number;
  /** Of gRPC servers: which of the backend's prepared places it has, from 1. */
  readonly place?: number;
}

/** What still has requests in flight, though nothing new comes, and is not given away. */
export interface Busy {
  readonly slots: ReadonlySet<number>;
  /** As `placeKey` names them. */
  readonly places: ReadonlySet<string>;
}

export function placeKey(slot: number, place: number): string {
  return `${slot}.${place}`;
}

export interface Route {
  readonly name: string;
  readonly uid: string;
  readonly port: number;
  readonly generation: number;
  /** Which of the model's two key ranges holds the shares. A change is laid out in the other, then switched to. */
  readonly half: 0 | 1;
  readonly shares: readonly Share<number>[];
  /** Slots to try, in this order, when the chosen one has no server. */
  readonly fallbacks: readonly number[];
  readonly policy?: Policy;
  /** Slots that rules of the policy may lead to now. */
  readonly routed?: readonly number[];
}

export interface State {
  /** Backend pairs that exist. */
  readonly pool: number;
  /** Servers that are prepared in every gRPC backend. */
  readonly places: number;
  /** Whether any server has, or had, a limit, and hence whether backends look at what waits. */
  readonly limited: boolean;
  /** Where the search for the next free slot starts, so that a slot rests for long before it is used again. */
  readonly cursor: number;
  readonly routes: readonly Route[];
  readonly slots: readonly Slot[];
  readonly servers: readonly Server[];
}

/**
 * Backend pairs that a router starts with. A pair costs about 35 KiB; a pool that is too small costs a reload, after
 * which connections that were idle send one more request to the process that was replaced.
 */
export const smallestPool = 256;

/** gRPC pods of a version that need no reload. A place costs 6 KiB. */
export const fewestPlaces = 4;

export const emptyState: State = {
  pool: smallestPool,
  places: fewestPlaces,
  limited: false,
  cursor: 1,
  routes: [],
  slots: [],
  servers: [],
};
