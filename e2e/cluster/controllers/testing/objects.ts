/** Small objects for tables of tests; every builder takes what the test is about and fills in the rest. */
import type { KubeObject, ObjectMeta } from '../../../../kube-client/object.ts';
import type {
  Condition,
  Deployment,
  EndpointSlice,
  Job,
  Node,
  Pod,
  PodSpec,
  PodStatus,
  ReplicaSet,
  Service,
  Taint,
} from '../machinery/kinds.ts';

export const start = Date.parse('2026-01-01T00:00:00Z');

/** A moment so many seconds after `start`, as Kubernetes writes it. */
export function at(seconds: number): string {
  return new Date(start + seconds * 1000).toISOString().replace('.000Z', 'Z');
}

export function ownedBy(owner: KubeObject): Pick<ObjectMeta, 'ownerReferences'> {
  const { apiVersion, kind, metadata } = owner;
  return {
    ownerReferences: [
      {
        apiVersion,
        kind,
        name: metadata.name ?? '',
        uid: metadata.uid ?? '',
        controller: true,
        blockOwnerDeletion: true,
      },
    ],
  };
}

function meta(name: string, more: ObjectMeta = {}): ObjectMeta {
  return {
    name,
    namespace: 'ns',
    uid: `uid-${name}`,
    resourceVersion: '1',
    creationTimestamp: at(0),
    ...more,
  };
}

export interface PodFacts {
  readonly ready?: boolean;
  /** Seconds after `start` of its Ready transition. */
  readonly since?: number;
  readonly metadata?: ObjectMeta;
  readonly spec?: Partial<PodSpec>;
  readonly status?: PodStatus;
}

/** A running pod on `node-1`, unless told otherwise. */
export function pod(name: string, { ready = true, since = 0, metadata, spec, status }: PodFacts = {}): Pod {
  const condition: Condition = {
    type: 'Ready',
    status: ready ? 'True' : 'False',
    lastTransitionTime: at(since),
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: meta(name, { labels: { app: 'web' }, ...metadata }),
    spec: { nodeName: 'node-1', containers: [{ name: 'c' }], ...spec },
    status: { phase: 'Running', podIP: '10.0.0.1', conditions: [condition], ...status },
  };
}

/** A pod that waits for a node. */
export function pending(name: string, spec: Partial<PodSpec> = {}, metadata: ObjectMeta = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: meta(name, { labels: { app: 'web' }, ...metadata }),
    spec: { containers: [{ name: 'c' }], ...spec },
    status: { phase: 'Pending' },
  };
}

export function node(name: string, allocatable: Record<string, string> = {}, taints: Taint[] = []): Node {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      uid: `uid-${name}`,
      creationTimestamp: at(0),
      labels: { 'kubernetes.io/hostname': name },
    },
    spec: { taints },
    status: {
      allocatable: { cpu: '4', memory: '8Gi', pods: '10', ...allocatable },
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: at(0), lastHeartbeatTime: at(0) }],
    },
  };
}

export function deployment(
  spec: Partial<Deployment['spec']> = {},
  rest: { metadata?: ObjectMeta; status?: Deployment['status'] } = {},
): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: meta('web', { generation: 1, ...rest.metadata }),
    spec: {
      replicas: 4,
      progressDeadlineSeconds: 600,
      revisionHistoryLimit: 10,
      selector: { matchLabels: { app: 'web' } },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'one' }] } },
      ...spec,
    },
    ...(rest.status === undefined ? {} : { status: rest.status }),
  };
}

export function replicaSet(
  name: string,
  spec: Partial<ReplicaSet['spec']> = {},
  metadata: ObjectMeta = {},
): ReplicaSet {
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: meta(name, { generation: 1, ...metadata }),
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'one' }] } },
      ...spec,
    },
  };
}

export function service(spec: Partial<Service['spec']> = {}, metadata: ObjectMeta = {}): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta('web', metadata),
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }], ...spec },
  };
}

/** As the API server would store what a controller made. */
export function stored(slice: EndpointSlice, name: string): EndpointSlice {
  return { ...slice, metadata: { ...slice.metadata, name, uid: `uid-${name}`, resourceVersion: '1' } };
}

export function job(spec: Partial<Job['spec']> = {}, status: Job['status'] = {}): Job {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: meta('work'),
    spec: {
      parallelism: 1,
      completions: 1,
      backoffLimit: 6,
      template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c' }] } },
      ...spec,
    },
    status,
  };
}
