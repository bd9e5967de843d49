import type {
  NodeSelectorTerm,
  Pod,
  PodAffinityTerm,
  Taint,
  Toleration,
} from '../controllers/machinery/kinds.ts';
import { matches, meets } from '../controllers/machinery/selector.ts';
import { demandOf, shortOf } from './demand.ts';
import type { Room } from './room.ts';

/** Why a node can't take a pod. Evicting other pods may help where `curable`. */
export interface Refusal {
  readonly reasons: readonly string[];
  readonly curable: boolean;
}

/** Labels of namespaces, for terms that select namespaces. */
export type NamespaceLabels = (namespace: string) => Readonly<Record<string, string>> | undefined;

/** What filters look at besides the node itself. */
export interface Surroundings {
  readonly rooms: readonly Room[];
  readonly namespaceLabels: NamespaceLabels;
}

type Filter = (pod: Readonly<Pod>, room: Room, around: Surroundings) => Refusal | undefined;

const never = (reason: string): Refusal => ({ reasons: [reason], curable: false });
const perhaps = (...reasons: string[]): Refusal => ({ reasons, curable: true });

const unschedulable: Filter = (pod, room) => {
  const taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };
  if (room.node.spec?.unschedulable !== true || tolerates(pod.spec.tolerations, taint)) return undefined;
  return never('node(s) were unschedulable');
};

const taints: Filter = (pod, room) => {
  const taint = (room.node.spec?.taints ?? []).find(
    (one) => one.effect !== 'PreferNoSchedule' && !tolerates(pod.spec.tolerations, one),
  );
  return taint === undefined ? undefined : never('node(s) had untolerated taint(s)');
};

const affinity: Filter = (pod, room) => {
  const { nodeSelector, affinity: wanted } = pod.spec;
  const terms = wanted?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const fits =
    matches({ matchLabels: nodeSelector ?? {} }, room.node.metadata.labels) &&
    (terms === undefined || terms.some((term) => meetsTerm(term, room)));
  return fits ? undefined : never("node(s) didn't match Pod's node affinity/selector");
};

const hostPorts: Filter = (pod, room) => {
  const wanted = hostPortsOf(pod);
  if (wanted.length === 0) return undefined;
  const taken = new Set([...room.pods].flatMap(hostPortsOf));
  return wanted.some((port) => taken.has(port))
    ? perhaps("node(s) didn't have free ports for the requested pod ports")
    : undefined;
};

const resources: Filter = (pod, room) => {
  const demand = demandOf(pod);
  const short = shortOf(demand, room.supply, room.used);
  if (short.length === 0) return undefined;
  const reasons = short.map((name) => (name === 'pods' ? 'Too many pods' : `Insufficient ${name}`));
  // What an empty node hasn't got, nobody can make room for.
  return { reasons, curable: shortOf(demand, room.supply, {}).length === 0 };
};

const spread: Filter = (pod, room, around) => {
  for (const constraint of pod.spec.topologySpreadConstraints ?? []) {
    if (constraint.whenUnsatisfiable !== 'DoNotSchedule') continue;
    const here = room.label(constraint.topologyKey);
    if (here === undefined) {
      return never("node(s) didn't match pod topology spread constraints (missing required label)");
    }
    const counts = new Map<string, number>();
    for (const other of around.rooms) {
      const domain = other.label(constraint.topologyKey);
      if (domain === undefined || affinity(pod, other, around) !== undefined) continue;
      const alike = [...other.pods].filter(
        (one) =>
          one.metadata.namespace === pod.metadata.namespace &&
          one.metadata.deletionTimestamp === undefined &&
          matches(constraint.labelSelector, one.metadata.labels),
      );
      counts.set(domain, (counts.get(domain) ?? 0) + alike.length);
    }
    const self = matches(constraint.labelSelector, pod.metadata.labels) ? 1 : 0;
    const least = Math.min(...counts.values());
    if ((counts.get(here) ?? 0) + self - least > constraint.maxSkew) {
      return perhaps("node(s) didn't match pod topology spread constraints");
    }
  }
  return undefined;
};

const podAffinity: Filter = (pod, room, around) => {
  const { podAffinity: near, podAntiAffinity: apart } = pod.spec.affinity ?? {};
  for (const term of near?.requiredDuringSchedulingIgnoredDuringExecution ?? []) {
    const peers = inDomain(term, room, around).some((one) => fitsTerm(term, pod, one, around));
    // The first of a group that wants to be together has nobody to be with.
    const first =
      fitsTerm(term, pod, pod, around) &&
      !around.rooms.some(({ pods }) => [...pods].some((one) => fitsTerm(term, pod, one, around)));
    if (room.label(term.topologyKey) === undefined || (!peers && !first)) {
      return never("node(s) didn't match pod affinity rules");
    }
  }
  for (const term of apart?.requiredDuringSchedulingIgnoredDuringExecution ?? []) {
    if (inDomain(term, room, around).some((one) => fitsTerm(term, pod, one, around))) {
      return perhaps("node(s) didn't match pod anti-affinity rules");
    }
  }
  for (const other of around.rooms) {
    for (const one of other.pods) {
      const terms = one.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
      for (const term of terms) {
        const domain = room.label(term.topologyKey);
        if (domain === undefined || domain !== other.label(term.topologyKey)) continue;
        if (fitsTerm(term, one, pod, around)) {
          return perhaps("node(s) didn't satisfy existing pods anti-affinity rules");
        }
      }
    }
  }
  return undefined;
};

const filters: readonly Filter[] = [
  unschedulable,
  taints,
  affinity,
  hostPorts,
  resources,
  spread,
  podAffinity,
];

/** Why a node can't take a pod, by the first filter that says no; `undefined` where it can. Pure. */
export function refuse(pod: Readonly<Pod>, room: Room, around: Surroundings): Refusal | undefined {
  for (const filter of filters) {
    const refusal = filter(pod, room, around);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/** Whether any of the tolerations covers a taint. */
export function tolerates(tolerations: readonly Toleration[] | undefined, taint: Taint): boolean {
  return (tolerations ?? []).some((toleration) => {
    if (toleration.effect && toleration.effect !== taint.effect) return false;
    if (toleration.key && toleration.key !== taint.key) return false;
    switch (toleration.operator ?? 'Equal') {
      case 'Exists':
        return true;
      case 'Equal':
        return Boolean(toleration.key) && (toleration.value ?? '') === (taint.value ?? '');
      case 'Gt':
        return Number(taint.value) > Number(toleration.value);
      case 'Lt':
        return Number(taint.value) < Number(toleration.value);
      default:
        return false;
    }
  });
}

/** Whether a node meets one term of a node affinity; a term that says nothing fits nothing. */
export function meetsTerm(term: NodeSelectorTerm, room: Room): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length + fields.length === 0) return false;
  return (
    expressions.every((one) => meets(one, room.node.metadata.labels)) &&
    fields.every((one) => meets(one, { 'metadata.name': room.name }))
  );
}

/** Whether `other` is one that `owner`'s term speaks of. */
export function fitsTerm(
  term: PodAffinityTerm,
  owner: Readonly<Pod>,
  other: Readonly<Pod>,
  around: Surroundings,
): boolean {
  const namespace = other.metadata.namespace ?? '';
  const { namespaces = [], namespaceSelector } = term;
  const own = namespaces.length === 0 && namespaceSelector === undefined;
  const inScope =
    (own && namespace === owner.metadata.namespace) ||
    namespaces.includes(namespace) ||
    matches(namespaceSelector, around.namespaceLabels(namespace) ?? {});
  return inScope && matches(term.labelSelector, other.metadata.labels);
}

function inDomain(term: PodAffinityTerm, room: Room, around: Surroundings): Readonly<Pod>[] {
  const domain = room.label(term.topologyKey);
  if (domain === undefined) return [];
  return around.rooms
    .filter((other) => other.label(term.topologyKey) === domain)
    .flatMap(({ pods }) => [...pods]);
}

function hostPortsOf(pod: Readonly<Pod>): string[] {
  return pod.spec.containers.flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort, protocol }) => (hostPort ? [`${protocol ?? 'TCP'}:${hostPort}`] : [])),
  );
}
