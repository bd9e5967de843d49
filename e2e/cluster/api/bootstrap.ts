/** The objects that a cluster starts with: namespaces, roles, priority classes, and the API server's own Service. */
import { bootstrapBindings, bootstrapRoles } from './authz/bootstrap.ts';
import { type ApiObject, asString, clone, type JsonObject } from './json.ts';
import type { Kind } from './kinds/kind.ts';
import type { Call, Core } from './resource/call.ts';
import { createObject } from './resource/writes.ts';

function namespace(name: string): JsonObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
}

function priorityClass(name: string, value: number, description: string): JsonObject {
  return {
    apiVersion: 'scheduling.k8s.io/v1',
    kind: 'PriorityClass',
    metadata: { name },
    value,
    description,
  };
}

const priorityClasses = [
  priorityClass(
    'system-cluster-critical',
    2_000_000_000,
    'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.',
  ),
  priorityClass(
    'system-node-critical',
    2_000_001_000,
    'Used for system critical pods that must not be moved from their current node.',
  ),
];

function kubernetesService(address: string): JsonObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { component: 'apiserver', provider: 'kubernetes' },
    },
    spec: {
      clusterIP: address,
      ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: 6443 }],
    },
  };
}

function kubernetesSlice(host: string, port: number): JsonObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': 'kubernetes' },
    },
    addressType: 'IPv4',
    ports: [{ name: 'https', port, protocol: 'TCP' }],
    endpoints: [{ addresses: [host], conditions: { ready: true } }],
  };
}

/** First address of a CIDR, which belongs to the API server. */
export function firstAddress(cidr: string): string {
  const [base] = cidr.split('/');
  const parts = base!.split('.').map(Number);
  parts[3] = parts[3]! + 1;
  return parts.join('.');
}

export function callFor(core: Core, kind: Kind, object: JsonObject, name?: string): Call {
  const metadata = object['metadata'] as JsonObject | undefined;
  return {
    core,
    kind,
    namespace: kind.namespaced ? asString(metadata?.['namespace']) : undefined,
    name,
    subresource: '',
    user: { name: 'system:apiserver', groups: ['system:masters'] },
    query: new URLSearchParams({ fieldManager: 'kube-apiserver' }),
    userAgent: 'kube-apiserver',
    warnings: [],
  };
}

export function bootstrap(core: Core, endpoint: { host: string; port: number }): void {
  const objects: JsonObject[] = [
    ...['default', 'kube-system', 'kube-public', 'kube-node-lease'].map(namespace),
    ...bootstrapRoles,
    ...bootstrapBindings,
    ...priorityClasses,
    kubernetesService(firstAddress(core.serviceCidr)),
    kubernetesSlice(endpoint.host, endpoint.port),
  ];
  for (const object of objects) {
    const version = asString(object['apiVersion']);
    const [group, name] = version.includes('/') ? version.split('/') : ['', version];
    const kind = core.registry.byKind(group!, name, asString(object['kind']));
    if (!kind) throw new Error(`no kind for ${version} ${asString(object['kind'])}`);
    createObject(callFor(core, kind, object), clone(object) as ApiObject);
  }
}
