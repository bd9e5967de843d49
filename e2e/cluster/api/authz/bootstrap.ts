/** The roles and bindings that every cluster starts with. */
import type { JsonObject } from '../json.ts';

type Rule = readonly [groups: string, resources: string, verbs: string];

const read = 'get list watch';
const write = 'create delete deletecollection patch update';

function rule([groups, resources, verbs]: Rule): JsonObject {
  return {
    apiGroups: groups.split(' ').map((group) => (group === 'core' ? '' : group)),
    resources: resources.split(' '),
    verbs: verbs.split(' '),
  };
}

function paths(list: string): JsonObject {
  return { nonResourceURLs: list.split(' '), verbs: ['get'] };
}

function role(
  name: string,
  rules: readonly JsonObject[],
  labels: { [key: string]: string } = {},
): JsonObject {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: {
      name,
      labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults', ...labels },
      annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'true' },
    },
    rules: [...rules],
  };
}

function aggregated(name: string, selector: string): JsonObject {
  const aggregate = { [`rbac.authorization.k8s.io/aggregate-to-${selector}`]: 'true' };
  return { ...role(name, []), aggregationRule: { clusterRoleSelectors: [{ matchLabels: aggregate }] } };
}

function binding(
  name: string,
  roleName: string,
  subjects: readonly [kind: string, name: string][],
): JsonObject {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: {
      name,
      labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' },
      annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'true' },
    },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: roleName },
    subjects: subjects.map(([kind, subject]) => ({
      apiGroup: 'rbac.authorization.k8s.io',
      kind,
      name: subject,
    })),
  };
}

const workloads: readonly (readonly [string, string])[] = [
  [
    'core',
    'configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods pods/status pods/log replicationcontrollers replicationcontrollers/scale replicationcontrollers/status serviceaccounts services services/status',
  ],
  ['core', 'bindings events limitranges namespaces/status resourcequotas resourcequotas/status namespaces'],
  ['discovery.k8s.io', 'endpointslices'],
  [
    'apps',
    'controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status',
  ],
  ['autoscaling', 'horizontalpodautoscalers horizontalpodautoscalers/status'],
  ['batch', 'cronjobs cronjobs/status jobs jobs/status'],
  ['policy', 'poddisruptionbudgets poddisruptionbudgets/status'],
  ['networking.k8s.io', 'ingresses ingresses/status networkpolicies'],
];

const editable: readonly (readonly [string, string])[] = [
  ['core', 'pods pods/attach pods/exec pods/portforward pods/proxy'],
  [
    'core',
    'configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy',
  ],
  [
    'apps',
    'daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale',
  ],
  ['autoscaling', 'horizontalpodautoscalers'],
  ['batch', 'cronjobs jobs'],
  ['policy', 'poddisruptionbudgets'],
  ['networking.k8s.io', 'ingresses networkpolicies'],
];

const aggregate = (to: string) => ({ [`rbac.authorization.k8s.io/aggregate-to-${to}`]: 'true' });
const everything: JsonObject[] = [
  { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
  { nonResourceURLs: ['*'], verbs: ['*'] },
];

export const bootstrapRoles: readonly JsonObject[] = [
  role('cluster-admin', everything),
  aggregated('admin', 'admin'),
  {
    ...aggregated('edit', 'edit'),
    metadata: { ...(role('edit', [], aggregate('admin'))['metadata'] as JsonObject) },
  },
  {
    ...aggregated('view', 'view'),
    metadata: { ...(role('view', [], aggregate('edit'))['metadata'] as JsonObject) },
  },
  role(
    'system:aggregate-to-admin',
    [
      rule(['authorization.k8s.io', 'localsubjectaccessreviews', 'create']),
      rule(['rbac.authorization.k8s.io', 'rolebindings roles', `${read} ${write}`]),
    ],
    aggregate('admin'),
  ),
  role(
    'system:aggregate-to-edit',
    [
      rule(['core', 'pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy', read]),
      rule(['core', 'serviceaccounts', 'impersonate']),
      rule(['core', 'pods/eviction serviceaccounts/token', 'create']),
      ...editable.map(([groups, resources]) => rule([groups, resources, write])),
      rule(['coordination.k8s.io', 'leases', `${read} ${write}`]),
    ],
    aggregate('edit'),
  ),
  role(
    'system:aggregate-to-view',
    workloads.map(([groups, resources]) => rule([groups, resources, read])),
    aggregate('view'),
  ),
  role('system:discovery', [
    paths('/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/'),
  ]),
  role('system:public-info-viewer', [paths('/healthz /livez /readyz /version /version/')]),
  role('system:basic-user', [
    rule(['authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews', 'create']),
    rule(['authentication.k8s.io', 'selfsubjectreviews', 'create']),
  ]),
  role('system:service-account-issuer-discovery', [
    paths(
      '/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/',
    ),
  ]),
  role('system:auth-delegator', [
    rule(['authentication.k8s.io', 'tokenreviews', 'create']),
    rule(['authorization.k8s.io', 'subjectaccessreviews', 'create']),
  ]),
  role('system:kube-scheduler', [
    rule(['core events.k8s.io', 'events', 'create patch update']),
    rule(['coordination.k8s.io', 'leases', 'create get list update watch']),
    rule([
      'core',
      'nodes namespaces replicationcontrollers services persistentvolumeclaims persistentvolumes',
      read,
    ]),
    rule(['core', 'pods', 'delete get list watch']),
    rule(['core', 'bindings pods/binding', 'create']),
    rule(['core', 'pods/status', 'patch update']),
    rule(['apps', 'replicasets statefulsets', read]),
    rule(['policy', 'poddisruptionbudgets', read]),
    rule(['scheduling.k8s.io', 'priorityclasses', read]),
    rule([
      'storage.k8s.io',
      'csidrivers csinodes csistoragecapacities storageclasses volumeattachments',
      read,
    ]),
    rule(['authentication.k8s.io', 'tokenreviews', 'create']),
    rule(['authorization.k8s.io', 'subjectaccessreviews', 'create']),
  ]),
  // The real controller manager's controllers each use an account of their own; here one user runs them all.
  role('system:kube-controller-manager', [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }, paths('*')]),
  role('system:node', [
    rule(['authentication.k8s.io', 'tokenreviews', 'create']),
    rule(['authorization.k8s.io', 'localsubjectaccessreviews subjectaccessreviews', 'create']),
    rule(['core', 'services', read]),
    rule(['core', 'nodes', `create ${read} patch update`]),
    rule(['core', 'nodes/status', 'patch update']),
    rule(['core events.k8s.io', 'events', 'create patch update']),
    rule(['core', 'pods', `create delete ${read}`]),
    rule(['core', 'pods/status', 'patch update']),
    rule(['core', 'pods/eviction', 'create']),
    rule(['core', 'configmaps secrets', read]),
    rule(['core', 'persistentvolumeclaims persistentvolumes', 'get']),
    rule(['core', 'serviceaccounts', 'get']),
    rule(['core', 'serviceaccounts/token', 'create']),
    rule(['discovery.k8s.io', 'endpointslices', read]),
    rule(['coordination.k8s.io', 'leases', 'create delete get patch update']),
    rule(['node.k8s.io', 'runtimeclasses', read]),
    rule(['storage.k8s.io', 'csidrivers csinodes volumeattachments', `create delete ${read} patch update`]),
  ]),
  role('system:node-proxier', [
    rule(['core', 'services endpoints nodes', read]),
    rule(['discovery.k8s.io', 'endpointslices', read]),
    rule(['core events.k8s.io', 'events', 'create patch update']),
  ]),
];

export const bootstrapBindings: readonly JsonObject[] = [
  binding('cluster-admin', 'cluster-admin', [['Group', 'system:masters']]),
  binding('system:basic-user', 'system:basic-user', [['Group', 'system:authenticated']]),
  binding('system:discovery', 'system:discovery', [['Group', 'system:authenticated']]),
  binding('system:public-info-viewer', 'system:public-info-viewer', [
    ['Group', 'system:authenticated'],
    ['Group', 'system:unauthenticated'],
  ]),
  binding('system:service-account-issuer-discovery', 'system:service-account-issuer-discovery', [
    ['Group', 'system:serviceaccounts'],
  ]),
  binding('system:kube-scheduler', 'system:kube-scheduler', [['User', 'system:kube-scheduler']]),
  binding('system:kube-controller-manager', 'system:kube-controller-manager', [
    ['User', 'system:kube-controller-manager'],
  ]),
  binding('system:node', 'system:node', [['Group', 'system:nodes']]),
  binding('system:node-proxier', 'system:node-proxier', [
    ['User', 'system:kube-proxy'],
    ['Group', 'system:nodes'],
  ]),
];
