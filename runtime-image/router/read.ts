/** PURE: what the router reads of Kubernetes objects. Objects may be anything: what does not fit is left out. */
import { endpointPorts, labels, targetConcurrencyLabel } from '#contract';
import type { KubeObject } from '../../kube-client/object.ts';
import { parseDuration } from '../environment.ts';
import type { Policy, RequestRoute } from './policy.ts';
import type { EndpointInput, ModelInput } from './state.ts';

/** The part of a Model that the router reads. */
export interface ModelObject extends KubeObject {
  readonly spec?: {
    readonly sticky?: { readonly header?: string; readonly cookie?: string };
    readonly routes?: readonly {
      readonly match?: {
        readonly headers?: readonly { readonly name: string; readonly value: string }[];
        readonly path?: { readonly prefix?: string };
      };
      readonly version?: string;
    }[];
    readonly pinning?: string;
    readonly timeouts?: { readonly response?: string; readonly idle?: string };
  };
  readonly status?: {
    readonly stable?: string;
    readonly traffic?: readonly { readonly version: string; readonly weight: number }[];
    readonly routed?: readonly string[];
    readonly routers?: { readonly port?: number; readonly generation?: number };
  };
}

/** The part of an EndpointSlice that the router reads. */
export interface SliceObject extends KubeObject {
  readonly addressType?: string;
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[] | null;
  readonly endpoints?:
    | readonly {
        readonly addresses?: readonly string[];
        readonly conditions?: {
          readonly ready?: boolean;
          readonly serving?: boolean;
          readonly terminating?: boolean;
        };
      }[]
    | null;
}

/** Undefined until the operator has given the model a port. */
export function readModel(object: Readonly<ModelObject>): ModelInput | undefined {
  const { metadata, status } = object;
  const port = status?.routers?.port;
  if (typeof port !== 'number' || !metadata.name || !metadata.uid) return undefined;
  const traffic = Array.isArray(status?.traffic) ? status.traffic : [];
  return {
    name: metadata.name,
    uid: metadata.uid,
    port,
    generation: status?.routers?.generation ?? 0,
    ...(status?.stable ? { stable: status.stable } : {}),
    traffic: traffic.map(({ version, weight }) => ({ version, weight })),
    ...(Array.isArray(status?.routed) ? { routed: status.routed } : {}),
    ...readPolicy(object.spec),
  };
}

/** Nothing of a spec that asks for nothing. */
function readPolicy(spec: ModelObject['spec']): Pick<ModelInput, 'policy'> {
  const { sticky, routes, pinning, timeouts } = spec ?? {};
  const { header, cookie } = sticky ?? {};
  const responseMs = parseDuration(timeouts?.response ?? '');
  const idleMs = parseDuration(timeouts?.idle ?? '');
  const policy: Policy = {
    ...(header === undefined ? {} : { sticky: { header } }),
    ...(cookie === undefined ? {} : { sticky: { cookie } }),
    ...(Array.isArray(routes) && routes.length > 0 ? { routes: routes.map(readRoute) } : {}),
    ...(pinning === 'disabled' ? { pinning } : {}),
    ...(responseMs === undefined && idleMs === undefined
      ? {}
      : {
          timeouts: {
            ...(responseMs === undefined ? {} : { responseMs }),
            ...(idleMs === undefined ? {} : { idleMs }),
          },
        }),
  };
  return Object.keys(policy).length === 0 ? {} : { policy };
}

function readRoute({
  match,
  version,
}: NonNullable<NonNullable<ModelObject['spec']>['routes']>[number]): RequestRoute {
  const { headers, path } = match ?? {};
  return {
    headers: Array.isArray(headers) ? headers.map(({ name, value }) => ({ name, value })) : [],
    ...(path?.prefix === undefined ? {} : { prefix: path.prefix }),
    version: version ?? '',
  };
}

/** One entry per address; endpoints that do not answer are left out. An absent `ready` means ready. */
export function readSlice(object: Readonly<SliceObject>): EndpointInput[] {
  const model = object.metadata.labels?.[labels.model];
  const version = object.metadata.labels?.[labels.version];
  if (!model || !version || object.addressType === 'FQDN') return [];
  const port = (name: string) => object.ports?.find((one) => one.name === name)?.port;
  const http = port(endpointPorts.http);
  const grpc = port(endpointPorts.grpc);
  const ports = { ...(http === undefined ? {} : { http }), ...(grpc === undefined ? {} : { grpc }) };
  const target = concurrencyOf(object.metadata.labels?.[targetConcurrencyLabel]);
  const found: EndpointInput[] = [];
  for (const { addresses, conditions } of object.endpoints ?? []) {
    const terminating = conditions?.terminating ?? false;
    const ready = conditions?.ready ?? !terminating;
    const state =
      ready && !terminating ? 'ready' : terminating && conditions?.serving ? 'terminating' : undefined;
    // Consumers have to treat several addresses as one endpoint, and use the first.
    const address = addresses?.[0];
    if (state && address) found.push({ model, version, address, ports, state, ...target });
  }
  return found;
}

/** Anybody may label a slice, so only what the API can mean is taken. */
function concurrencyOf(text: string | undefined): Pick<EndpointInput, 'targetConcurrency'> {
  return text !== undefined && /^[1-9]\d{0,6}$/.test(text) ? { targetConcurrency: Number(text) } : {};
}
