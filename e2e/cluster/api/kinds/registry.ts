/** All kinds that are served: the built-in ones and those of established CRDs. Discovery and routing read it. */
import { apiVersion, type Kind } from './kind.ts';

/** The order in which groups are listed; kubectl takes the first match of an ambiguous short name. */
const groupOrder = [
  '',
  'apps',
  'events.k8s.io',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'autoscaling',
  'batch',
  'certificates.k8s.io',
  'networking.k8s.io',
  'policy',
  'rbac.authorization.k8s.io',
  'storage.k8s.io',
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'scheduling.k8s.io',
  'coordination.k8s.io',
  'node.k8s.io',
  'discovery.k8s.io',
  'resource.k8s.io',
];

export class Registry {
  private readonly kinds = new Map<string, Kind>();
  private readonly listeners = new Set<() => void>();
  /** Changes with every change of the set, for ETags. */
  generation = 0;

  add(kind: Kind): void {
    this.kinds.set(`${apiVersion(kind)}/${kind.resource}`, kind);
    this.changed();
  }

  /** Replaces all kinds of one custom resource. */
  setCustom(group: string, resource: string, kinds: readonly Kind[]): void {
    for (const [key, kind] of this.kinds) {
      if (kind.custom && kind.group === group && kind.resource === resource) this.kinds.delete(key);
    }
    for (const kind of kinds) this.kinds.set(`${apiVersion(kind)}/${kind.resource}`, kind);
    this.changed();
  }

  find(group: string, version: string, resource: string): Kind | undefined {
    return this.kinds.get(`${apiVersion({ group, version })}/${resource}`);
  }

  byKind(group: string, version: string | undefined, kind: string): Kind | undefined {
    return this.all().find(
      (each) => each.group === group && each.kind === kind && (!version || each.version === version),
    );
  }

  /** Any version of a resource. */
  anyVersion(group: string, resource: string): Kind | undefined {
    return this.all().find((each) => each.group === group && each.resource === resource);
  }

  all(): Kind[] {
    return [...this.kinds.values()];
  }

  /** Groups in their order, each with its versions in their order. */
  groups(): { group: string; versions: string[] }[] {
    const found = new Map<string, string[]>();
    for (const kind of this.kinds.values()) {
      const versions = found.get(kind.group) ?? [];
      if (!versions.includes(kind.version)) versions.push(kind.version);
      found.set(kind.group, versions);
    }
    const rank = (group: string) => {
      const index = groupOrder.indexOf(group);
      return index < 0 ? groupOrder.length : index;
    };
    return [...found]
      .map(([group, versions]) => ({ group, versions: versions.sort(compareVersions) }))
      .sort((a, b) => rank(a.group) - rank(b.group) || a.group.localeCompare(b.group));
  }

  inVersion(group: string, version: string): Kind[] {
    return this.all().filter((kind) => kind.group === group && kind.version === version);
  }

  onChange(listener: () => void): void {
    this.listeners.add(listener);
  }

  private changed(): void {
    this.generation += 1;
    for (const listener of this.listeners) listener();
  }
}

/** Kubernetes' order of versions: v2, v1, v1beta2, v1beta1, v1alpha1, then anything else by name. */
export function compareVersions(a: string, b: string): number {
  const parse = (text: string) => /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(text);
  const [x, y] = [parse(a), parse(b)];
  if (!x || !y) return x ? -1 : y ? 1 : a.localeCompare(b);
  const stage = (match: RegExpExecArray) => (match[2] === undefined ? 2 : match[2] === 'beta' ? 1 : 0);
  return stage(y) - stage(x) || Number(y[1]) - Number(x[1]) || Number(y[3] ?? 0) - Number(x[3] ?? 0);
}
