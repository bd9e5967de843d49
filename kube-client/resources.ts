/** Where kinds live in the API. Kinds of custom resources are declared by those who use them. */

export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

function resource(group: string, version: string, plural: string, kind: string, namespaced = true): Resource {
  return { group, version, plural, kind, namespaced };
}

export const resources = {
  configmaps: resource('', 'v1', 'configmaps', 'ConfigMap'),
  coreEvents: resource('', 'v1', 'events', 'Event'),
  endpoints: resource('', 'v1', 'endpoints', 'Endpoints'),
  namespaces: resource('', 'v1', 'namespaces', 'Namespace', false),
  nodes: resource('', 'v1', 'nodes', 'Node', false),
  persistentvolumeclaims: resource('', 'v1', 'persistentvolumeclaims', 'PersistentVolumeClaim'),
  pods: resource('', 'v1', 'pods', 'Pod'),
  resourcequotas: resource('', 'v1', 'resourcequotas', 'ResourceQuota'),
  secrets: resource('', 'v1', 'secrets', 'Secret'),
  serviceaccounts: resource('', 'v1', 'serviceaccounts', 'ServiceAccount'),
  services: resource('', 'v1', 'services', 'Service'),
  controllerrevisions: resource('apps', 'v1', 'controllerrevisions', 'ControllerRevision'),
  daemonsets: resource('apps', 'v1', 'daemonsets', 'DaemonSet'),
  deployments: resource('apps', 'v1', 'deployments', 'Deployment'),
  replicasets: resource('apps', 'v1', 'replicasets', 'ReplicaSet'),
  statefulsets: resource('apps', 'v1', 'statefulsets', 'StatefulSet'),
  horizontalpodautoscalers: resource(
    'autoscaling',
    'v2',
    'horizontalpodautoscalers',
    'HorizontalPodAutoscaler',
  ),
  cronjobs: resource('batch', 'v1', 'cronjobs', 'CronJob'),
  jobs: resource('batch', 'v1', 'jobs', 'Job'),
  leases: resource('coordination.k8s.io', 'v1', 'leases', 'Lease'),
  endpointslices: resource('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice'),
  events: resource('events.k8s.io', 'v1', 'events', 'Event'),
  networkpolicies: resource('networking.k8s.io', 'v1', 'networkpolicies', 'NetworkPolicy'),
  runtimeclasses: resource('node.k8s.io', 'v1', 'runtimeclasses', 'RuntimeClass', false),
  poddisruptionbudgets: resource('policy', 'v1', 'poddisruptionbudgets', 'PodDisruptionBudget'),
  clusterroles: resource('rbac.authorization.k8s.io', 'v1', 'clusterroles', 'ClusterRole', false),
  clusterrolebindings: resource(
    'rbac.authorization.k8s.io',
    'v1',
    'clusterrolebindings',
    'ClusterRoleBinding',
    false,
  ),
  roles: resource('rbac.authorization.k8s.io', 'v1', 'roles', 'Role'),
  rolebindings: resource('rbac.authorization.k8s.io', 'v1', 'rolebindings', 'RoleBinding'),
  priorityclasses: resource('scheduling.k8s.io', 'v1', 'priorityclasses', 'PriorityClass', false),
  customresourcedefinitions: resource(
    'apiextensions.k8s.io',
    'v1',
    'customresourcedefinitions',
    'CustomResourceDefinition',
    false,
  ),
} as const satisfies Record<string, Resource>;

/** `v1` or `group/version`: the `apiVersion` of the kind's objects. */
export function apiVersionOf(r: Resource): string {
  return r.group === '' ? r.version : `${r.group}/${r.version}`;
}

/**
 * URL path of a collection, an object or a subresource. Every part is escaped, so a hostile name cannot reach another path.
 * @throws TypeError when an object is named without the namespace that its kind needs, or by an empty or dot name.
 */
export function pathOf(r: Resource, namespace?: string, name?: string, subresource?: string): string {
  const parts = r.group === '' ? ['api', r.version] : ['apis', r.group, r.version];
  if (r.namespaced && namespace) parts.push('namespaces', segment(namespace));
  else if (r.namespaced && name !== undefined) throw new TypeError(`${r.kind} ${name} needs a namespace`);
  parts.push(r.plural);
  if (name !== undefined) parts.push(segment(name));
  if (subresource !== undefined) parts.push(...subresource.split('/').map(segment));
  return `/${parts.join('/')}`;
}

function segment(text: string): string {
  if (text === '' || text === '.' || text === '..') throw new TypeError(`"${text}" is no name`);
  return encodeURIComponent(text);
}
