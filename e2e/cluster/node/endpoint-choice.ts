/** Which endpoints a Service's connections go to. Pure. */
import type { KubeObject } from '../../../kube-client/object.ts';

export interface EndpointSlice extends KubeObject {
  readonly addressType?: string;
  readonly endpoints?: readonly SliceEndpoint[] | null;
  readonly ports?:
    | readonly { readonly name?: string; readonly port?: number; readonly protocol?: string }[]
    | null;
}

export interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly conditions?: {
    readonly ready?: boolean;
    readonly serving?: boolean;
    readonly terminating?: boolean;
  };
}

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/**
 * The ready endpoints of the port; when there is none, those that still serve though they are coming down.
 * @param portName name of the Service's port, empty for one without
 */
export function endpointsOf(slices: Iterable<EndpointSlice>, portName: string): readonly Endpoint[] {
  const ready = new Map<string, Endpoint>();
  const leaving = new Map<string, Endpoint>();
  for (const slice of slices) {
    if (slice.addressType !== undefined && slice.addressType !== 'IPv4') continue;
    const port = slice.ports?.find(
      ({ name = '', protocol = 'TCP' }) => name === portName && protocol === 'TCP',
    )?.port;
    if (port === undefined) continue;
    for (const { addresses, conditions = {} } of slice.endpoints ?? []) {
      const [address] = addresses;
      if (address === undefined) continue;
      const isReady = conditions.ready ?? true;
      // The same endpoint may be in two slices while it moves from one to the other.
      if (isReady) ready.set(address, { address, port });
      else if ((conditions.serving ?? isReady) && conditions.terminating)
        leaving.set(address, { address, port });
    }
  }
  return [...(ready.size > 0 ? ready : leaving).values()];
}

/** A random order of the endpoints, with the preferred one first if it is among them. */
export function attemptOrder(
  endpoints: readonly Endpoint[],
  preferred: Endpoint | undefined,
  random: () => number,
): readonly Endpoint[] {
  const order = [...endpoints];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const [a, b] = [order[i], order[j]];
    if (a && b) [order[i], order[j]] = [b, a];
  }
  if (!preferred) return order;
  const isPreferred = ({ address, port }: Endpoint) =>
    address === preferred.address && port === preferred.port;
  return [...order.filter(isPreferred), ...order.filter((endpoint) => !isPreferred(endpoint))];
}
