/** PURE: what the router reads of Kubernetes objects. Objects may be anything: what does not fit is left out. */
import { endpointPorts, labels, targetConcurrencyLabel } from '#contract';
import type { KubeObject } from '../../kube-client/object.ts';
import type { EndpointInput, ModelInput } from './state.ts';

/** The part of a Model that the router reads. */
export interface ModelObject extends KubeObject {
  readonly status?: {
    readonly stable?: string;
    readonly traffic?: readonly { readonly version: string; readonly weight: number }[];
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
