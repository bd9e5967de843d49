import { controllerReference } from '../machinery/claim.ts';
import {
  type Endpoint,
  type EndpointPort,
  type EndpointSlice,
  isFinished,
  isReady,
  type Node,
  type Pod,
  type Service,
  type ServicePort,
} from '../machinery/kinds.ts';

/** Endpoints in one slice, at most. */
export const maxEndpoints = 100;

export const managedBy = {
  label: 'endpointslice.kubernetes.io/managed-by',
  value: 'endpointslice-controller.k8s.io',
} as const;
export const serviceNameLabel = 'kubernetes.io/service-name';
const headlessLabel = 'service.kubernetes.io/headless';

export interface Plan {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly Readonly<EndpointSlice>[];
}

/** Brings a service's slices to the pods that its selector fits, changing as few slices as it can. Pure. */
export function decide(
  service: Readonly<Service>,
  pods: readonly Readonly<Pod>[],
  slices: readonly Readonly<EndpointSlice>[],
  nodeOf: (name: string) => Readonly<Node> | undefined,
): Plan {
  const labels = labelsOf(service, slices[0]);
  const groups = new Map<string, { ports: EndpointPort[]; endpoints: Map<string, Endpoint> }>();
  for (const pod of pods) {
    if (isFinished(pod) || !addressOf(pod)) continue;
    const ports = portsOf(service, pod);
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, endpoints: new Map() };
    groups.set(key, group);
    group.endpoints.set(pod.metadata.uid ?? '', endpointOf(service, pod, nodeOf));
  }
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const spare: Readonly<EndpointSlice>[] = [];
  const kept: { slice: Readonly<EndpointSlice>; next: Endpoint[]; key: string }[] = [];
  for (const slice of slices) {
    const key = JSON.stringify(slice.ports ?? []);
    const group = groups.get(key);
    const next = (slice.endpoints ?? []).flatMap((endpoint) => {
      const uid = endpoint.targetRef?.uid ?? '';
      const wanted = group?.endpoints.get(uid);
      group?.endpoints.delete(uid);
      return wanted === undefined ? [] : [wanted];
    });
    if (group === undefined) spare.push(slice);
    else kept.push({ slice, next, key });
  }
  for (const [key, { ports, endpoints }] of groups) {
    const waiting = [...endpoints.values()];
    for (const one of kept) {
      if (one.key !== key) continue;
      one.next.push(...waiting.splice(0, maxEndpoints - one.next.length));
    }
    while (waiting.length > 0) {
      const batch = waiting.splice(0, maxEndpoints);
      const reused = spare.shift();
      if (reused === undefined) create.push(newSlice(service, labels, ports, batch));
      else update.push({ ...reused, metadata: { ...reused.metadata, labels }, ports, endpoints: batch });
    }
  }
  const empty = kept.filter(({ next }) => next.length === 0).map(({ slice }) => slice);
  for (const { slice, next } of kept) {
    if (next.length === 0) continue;
    if (!sameEndpoints(next, slice.endpoints) || !sameLabels(labels, slice.metadata.labels)) {
      update.push({ ...slice, metadata: { ...slice.metadata, labels }, endpoints: next });
    }
  }
  const remove = [...spare, ...empty];
  const left = create.length + slices.length - remove.length;
  if (left > 0) return { create, update, remove };
  // A service without pods keeps one empty slice, so that its clients can tell "none" from "not known yet".
  const placeholder = remove.shift();
  if (placeholder === undefined) return { create: [newSlice(service, labels, [], [])], update, remove };
  if ((placeholder.endpoints ?? []).length > 0 || !sameLabels(labels, placeholder.metadata.labels)) {
    update.push({
      ...placeholder,
      metadata: { ...placeholder.metadata, labels },
      ports: [],
      endpoints: [],
    });
  }
  return { create, update, remove };
}

/** The port of a pod that a service port leads to; `undefined` where the pod has no port of that name. */
export function targetPort(port: Readonly<ServicePort>, pod: Readonly<Pod>): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target === 0 ? port.port : target;
  const sidecars = (pod.spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  for (const container of [...pod.spec.containers, ...sidecars]) {
    for (const candidate of container.ports ?? []) {
      const protocol = candidate.protocol ?? 'TCP';
      if (candidate.name === target && protocol === (port.protocol ?? 'TCP')) return candidate.containerPort;
    }
  }
  return undefined;
}

function portsOf(service: Readonly<Service>, pod: Readonly<Pod>): EndpointPort[] {
  return (service.spec.ports ?? []).flatMap((port) => {
    const number = targetPort(port, pod);
    if (number === undefined) return [];
    const base = { name: port.name ?? '', port: number, protocol: port.protocol ?? 'TCP' };
    return [port.appProtocol === undefined ? base : { ...base, appProtocol: port.appProtocol }];
  });
}

function addressOf(pod: Readonly<Pod>): string | undefined {
  const addresses = pod.status?.podIPs?.map(({ ip }) => ip) ?? [pod.status?.podIP ?? ''];
  return addresses.find((address) => address.includes('.'));
}

function endpointOf(
  service: Readonly<Service>,
  pod: Readonly<Pod>,
  nodeOf: (name: string) => Readonly<Node> | undefined,
): Endpoint {
  const serving = isReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const { nodeName, hostname, subdomain } = pod.spec;
  const zone = nodeOf(nodeName ?? '')?.metadata.labels?.['topology.kubernetes.io/zone'];
  const { namespace = '', name = '', uid = '' } = pod.metadata;
  return {
    addresses: [addressOf(pod) ?? ''],
    conditions: {
      ready: service.spec.publishNotReadyAddresses === true || (serving && !terminating),
      serving,
      terminating,
    },
    targetRef: { kind: 'Pod', namespace, name, uid },
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    ...(hostname !== undefined && subdomain === service.metadata.name ? { hostname } : {}),
  };
}

function labelsOf(
  service: Readonly<Service>,
  existing: Readonly<EndpointSlice> | undefined,
): Record<string, string> {
  const labels: Record<string, string> = { ...service.metadata.labels };
  for (const reserved of [serviceNameLabel, managedBy.label, headlessLabel]) delete labels[reserved];
  if (service.spec.clusterIP === 'None') labels[headlessLabel] = '';
  labels[serviceNameLabel] = service.metadata.name ?? '';
  labels[managedBy.label] = existing?.metadata.labels?.[managedBy.label] ?? managedBy.value;
  return labels;
}

function newSlice(
  service: Readonly<Service>,
  labels: Record<string, string>,
  ports: EndpointPort[],
  endpoints: Endpoint[],
): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      generateName: `${service.metadata.name}-`,
      namespace: service.metadata.namespace ?? '',
      labels,
      ownerReferences: [controllerReference(service)],
    },
    addressType: 'IPv4',
    ports,
    endpoints,
  };
}

function sameEndpoints(left: readonly Endpoint[], right: readonly Endpoint[] | undefined): boolean {
  if (left.length !== (right?.length ?? 0)) return false;
  const parts = ({ addresses, conditions, targetRef, nodeName, zone, hostname }: Endpoint) =>
    JSON.stringify([
      addresses,
      conditions?.ready,
      conditions?.serving,
      conditions?.terminating,
      targetRef?.name,
      targetRef?.uid,
      nodeName,
      zone,
      hostname,
    ]);
  return left.every((endpoint, index) => parts(endpoint) === parts((right ?? [])[index] as Endpoint));
}

function sameLabels(left: Record<string, string>, right: Record<string, string> | undefined): boolean {
  const keys = Object.keys(left);
  return keys.length === Object.keys(right ?? {}).length && keys.every((key) => left[key] === right?.[key]);
}
