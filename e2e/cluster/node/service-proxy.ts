/**
 * What kube-proxy does, in user space: every TCP port of every Service with a cluster address is listened on, and each
 * connection goes to a random ready endpoint. UDP, node ports and traffic policies are not there.
 */
import type { KubeClient } from '../../../kube-client/client.ts';
import { resources } from '../../../kube-client/resources.ts';
import { type EndpointSlice, endpointsOf } from './endpoint-choice.ts';
import type { Service } from './environment.ts';
import { type Api, apiOf, type Clock, type Logger, realClock } from './ports.ts';
import { Relay } from './relay.ts';

export interface ServiceProxyOptions {
  readonly client: KubeClient | { readonly api: Api };
  readonly logger: Logger;
  readonly clock?: Clock;
}

export interface ServiceProxy {
  /** Ends all connections. */
  stop(): Promise<void>;
}

const serviceNameLabel = 'kubernetes.io/service-name';
const defaultAffinitySeconds = 10_800;

/** Resolves when all Services that exist are listened on, or about to be. One is enough for all nodes of a machine. */
export async function startServiceProxy(options: ServiceProxyOptions): Promise<ServiceProxy> {
  const { logger, clock = realClock } = options;
  const api = 'api' in options.client ? options.client.api : apiOf(options.client, logger);
  const services = api.view<Service>(resources.services);
  const slices = api.view<EndpointSlice>(resources.endpointslices);
  const slicesByService = new Map<string, Map<string, EndpointSlice>>();
  const relays = new Map<string, Map<string, Relay>>();

  const refresh = (key: string) => {
    const service = services.get(key);
    const own = relays.get(key) ?? new Map<string, Relay>();
    const wanted = new Set<string>();
    for (const { address, port, name } of service ? listenersOf(service) : []) {
      const id = `${address}:${port}`;
      wanted.add(id);
      const relay = own.get(id) ?? new Relay({ address, port, clock, logger });
      own.set(id, relay);
      const endpoints = endpointsOf(slicesByService.get(key)?.values() ?? [], name);
      relay.update(endpoints, service ? affinityOf(service) : 0);
    }
    for (const [id, relay] of own) {
      if (wanted.has(id)) continue;
      relay.retire();
      own.delete(id);
      retired.add(relay);
    }
    if (own.size > 0) relays.set(key, own);
    else relays.delete(key);
  };
  // Connections of a Service that is gone go on, but not beyond the proxy itself.
  const retired = new Set<Relay>();

  services.start();
  slices.start();
  await Promise.all([services.synced, slices.synced]);
  const unsubscribeSlices = slices.subscribe(({ key, now, before }) => {
    const touched = new Set<string>();
    for (const slice of [before, now]) {
      const service = slice?.metadata.labels?.[serviceNameLabel];
      if (service) touched.add(`${slice.metadata.namespace}/${service}`);
    }
    for (const service of touched) {
      const own = slicesByService.get(service) ?? new Map<string, EndpointSlice>();
      const isHere =
        now && `${now.metadata.namespace}/${now.metadata.labels?.[serviceNameLabel]}` === service;
      if (isHere) own.set(key, now);
      else own.delete(key);
      if (own.size > 0) slicesByService.set(service, own);
      else slicesByService.delete(service);
      refresh(service);
    }
  });
  const unsubscribeServices = services.subscribe(({ key }) => refresh(key));

  return {
    async stop() {
      unsubscribeServices();
      unsubscribeSlices();
      await Promise.all([services.stop(), slices.stop()]);
      for (const own of relays.values()) for (const relay of own.values()) relay.close();
      for (const relay of retired) relay.close();
    },
  };
}

/** What a Service has to be listened on. Empty for headless and external ones. */
function listenersOf({ spec }: Service): { address: string; port: number; name: string }[] {
  const address = spec.clusterIP;
  if (!address || address === 'None' || address.includes(':') || spec.type === 'ExternalName') return [];
  return (spec.ports ?? []).flatMap(({ port, name = '', protocol = 'TCP' }) =>
    protocol === 'TCP' ? [{ address, port, name }] : [],
  );
}

function affinityOf({ spec }: Service): number {
  if (spec.sessionAffinity !== 'ClientIP') return 0;
  return (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinitySeconds) * 1000;
}
