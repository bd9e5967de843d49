/** Discovery: which groups, versions and resources there are, in the aggregated and the older form. */
import type { JsonObject } from '../json.ts';
import { apiVersion, type Kind } from '../kinds/kind.ts';
import type { Registry } from '../kinds/registry.ts';

const statusVerbs = ['get', 'patch', 'update'];
const subresourceVerbs: Readonly<Record<string, readonly string[]>> = {
  status: statusVerbs,
  scale: statusVerbs,
  ephemeralcontainers: statusVerbs,
  finalize: ['update'],
  log: ['get'],
  exec: ['create', 'get'],
  attach: ['create', 'get'],
  portforward: ['create', 'get'],
  proxy: ['create', 'delete', 'get', 'patch', 'update'],
  binding: ['create'],
  eviction: ['create'],
  token: ['create'],
};

/** The kind of a subresource's body, where it is not the resource's own. */
export function subresourceKind(
  kind: Kind,
  subresource: string,
): { group: string; version: string; kind: string } {
  switch (subresource) {
    case 'scale':
      return { group: 'autoscaling', version: 'v1', kind: 'Scale' };
    case 'binding':
      return { group: '', version: 'v1', kind: 'Binding' };
    case 'eviction':
      return { group: 'policy', version: 'v1', kind: 'Eviction' };
    case 'token':
      return { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' };
    case 'exec':
    case 'attach':
      return {
        group: '',
        version: 'v1',
        kind: subresource === 'exec' ? 'PodExecOptions' : 'PodAttachOptions',
      };
    case 'portforward':
      return { group: '', version: 'v1', kind: 'PodPortForwardOptions' };
    case 'proxy':
      return { group: '', version: 'v1', kind: `${kind.kind}ProxyOptions` };
    default:
      return { group: kind.group, version: kind.version, kind: kind.kind };
  }
}

function aggregated(kind: Kind): JsonObject {
  const resource: JsonObject = {
    resource: kind.resource,
    responseKind: { group: kind.group, version: kind.version, kind: kind.kind },
    scope: kind.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: kind.singular,
    verbs: [...kind.verbs],
  };
  if (kind.shortNames.length > 0) resource['shortNames'] = [...kind.shortNames];
  if (kind.categories.length > 0) resource['categories'] = [...kind.categories];
  if (kind.subresources.length > 0) {
    resource['subresources'] = kind.subresources.map((subresource) => ({
      subresource,
      responseKind: subresourceKind(kind, subresource),
      verbs: [...(subresourceVerbs[subresource] ?? statusVerbs)],
    }));
  }
  return resource;
}

/** `APIGroupDiscoveryList` of the core group (`core`) or of all others. */
export function aggregatedDiscovery(registry: Registry, core: boolean, version: string): JsonObject {
  const items = registry
    .groups()
    .filter(({ group }) => (group === '') === core)
    .map(({ group, versions }) => ({
      metadata: group ? { name: group, creationTimestamp: null } : { creationTimestamp: null },
      versions: versions.map((each) => ({
        version: each,
        resources: registry.inVersion(group, each).map(aggregated),
        freshness: 'Current',
      })),
    }));
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items,
  };
}

function groupObject(group: string, versions: readonly string[]): JsonObject {
  const list = versions.map((version) => ({ groupVersion: apiVersion({ group, version }), version }));
  return { name: group, versions: list, preferredVersion: list[0] };
}

export function groupList(registry: Registry): JsonObject {
  const groups = registry
    .groups()
    .filter(({ group }) => group !== '')
    .map(({ group, versions }) => groupObject(group, versions));
  return { kind: 'APIGroupList', apiVersion: 'v1', groups };
}

export function oneGroup(registry: Registry, name: string): JsonObject | undefined {
  const found = registry.groups().find(({ group }) => group === name);
  return found && { kind: 'APIGroup', apiVersion: 'v1', ...groupObject(name, found.versions) };
}

/** `APIResourceList` of one group and version; undefined when there is none. */
export function resourceList(registry: Registry, group: string, version: string): JsonObject | undefined {
  const kinds = registry.inVersion(group, version);
  if (kinds.length === 0) return undefined;
  const resources = kinds.flatMap((kind): JsonObject[] => {
    const resource: JsonObject = {
      name: kind.resource,
      singularName: kind.singular,
      namespaced: kind.namespaced,
      kind: kind.kind,
      verbs: [...kind.verbs],
    };
    if (kind.shortNames.length > 0) resource['shortNames'] = [...kind.shortNames];
    if (kind.categories.length > 0) resource['categories'] = [...kind.categories];
    const below = kind.subresources.map((subresource): JsonObject => {
      const of = subresourceKind(kind, subresource);
      const foreign = of.group !== kind.group || of.version !== kind.version;
      return {
        name: `${kind.resource}/${subresource}`,
        singularName: '',
        namespaced: kind.namespaced,
        ...(foreign ? { group: of.group, version: of.version } : {}),
        kind: of.kind,
        verbs: [...(subresourceVerbs[subresource] ?? statusVerbs)],
      };
    });
    return [resource, ...below];
  });
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersion({ group, version }),
    resources,
  };
}
