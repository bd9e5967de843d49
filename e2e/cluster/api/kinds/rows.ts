/** Which built-in kinds there are: one row each, by group and version. */
import { asString, at } from '../json.ts';
import { eventConversion, eventFields } from './events.ts';
import { allVerbs, type Kind, metadataFields, type ScalePaths } from './kind.ts';
import { podFields } from './pods.ts';

/** What differs from kind to kind. `sub`, `short` and `categories` are words with spaces between. */
export interface Row {
  kind: string;
  resource: string;
  model?: string;
  cluster?: true;
  short?: string;
  categories?: string;
  sub?: string;
  generation?: true;
  verbs?: readonly string[];
  scale?: ScalePaths;
  fields?: Kind['fields'];
  bucket?: string;
  convert?: Kind['convert'];
}

const createOnly = ['create'];
const replicas: ScalePaths = {
  spec: 'spec.replicas',
  status: 'status.replicas',
  selector: 'spec.selector',
};

export const groups: readonly [group: string, version: string, rows: readonly Row[]][] = [
  [
    '',
    'v1',
    [
      { kind: 'Binding', resource: 'bindings', verbs: createOnly },
      { kind: 'ConfigMap', resource: 'configmaps', short: 'cm' },
      { kind: 'Endpoints', resource: 'endpoints', short: 'ep' },
      {
        kind: 'Event',
        resource: 'events',
        model: 'CoreV1Event',
        short: 'ev',
        fields: eventFields,
      },
      { kind: 'LimitRange', resource: 'limitranges', short: 'limits' },
      {
        kind: 'Namespace',
        resource: 'namespaces',
        cluster: true,
        short: 'ns',
        sub: 'status finalize',
        fields: (object) => ({
          'metadata.name': object.metadata.name ?? '',
          'status.phase': asString(at(object, 'status', 'phase')),
          name: object.metadata.name ?? '',
        }),
        verbs: allVerbs.filter((verb) => verb !== 'deletecollection'),
      },
      {
        kind: 'Node',
        resource: 'nodes',
        cluster: true,
        short: 'no',
        sub: 'status proxy',
        fields: (object) => ({
          'metadata.name': object.metadata.name ?? '',
          'spec.unschedulable': at(object, 'spec', 'unschedulable') === true ? 'true' : 'false',
        }),
      },
      { kind: 'PersistentVolumeClaim', resource: 'persistentvolumeclaims', short: 'pvc', sub: 'status' },
      { kind: 'PersistentVolume', resource: 'persistentvolumes', cluster: true, short: 'pv', sub: 'status' },
      {
        kind: 'Pod',
        resource: 'pods',
        short: 'po',
        categories: 'all',
        generation: true,
        sub: 'status binding eviction log exec attach portforward proxy ephemeralcontainers',
        fields: podFields,
      },
      { kind: 'PodTemplate', resource: 'podtemplates' },
      {
        kind: 'ReplicationController',
        resource: 'replicationcontrollers',
        short: 'rc',
        categories: 'all',
        generation: true,
        sub: 'status scale',
        scale: replicas,
        fields: (object) => ({
          ...metadataFields(object),
          'status.replicas': String(at(object, 'status', 'replicas') ?? 0),
        }),
      },
      { kind: 'ResourceQuota', resource: 'resourcequotas', short: 'quota', sub: 'status' },
      {
        kind: 'Secret',
        resource: 'secrets',
        fields: (object) => ({ ...metadataFields(object), type: asString(object['type']) }),
      },
      { kind: 'ServiceAccount', resource: 'serviceaccounts', short: 'sa', sub: 'token' },
      {
        kind: 'Service',
        resource: 'services',
        short: 'svc',
        categories: 'all',
        sub: 'status proxy',
        fields: (object) => ({
          ...metadataFields(object),
          'spec.clusterIP': asString(at(object, 'spec', 'clusterIP')),
          'spec.type': asString(at(object, 'spec', 'type')),
        }),
      },
    ],
  ],
  [
    'apps',
    'v1',
    [
      { kind: 'ControllerRevision', resource: 'controllerrevisions' },
      {
        kind: 'DaemonSet',
        resource: 'daemonsets',
        short: 'ds',
        categories: 'all',
        generation: true,
        sub: 'status',
      },
      {
        kind: 'Deployment',
        resource: 'deployments',
        short: 'deploy',
        categories: 'all',
        generation: true,
        sub: 'status scale',
        scale: replicas,
      },
      {
        kind: 'ReplicaSet',
        resource: 'replicasets',
        short: 'rs',
        categories: 'all',
        generation: true,
        sub: 'status scale',
        scale: replicas,
        fields: (object) => ({
          ...metadataFields(object),
          'status.replicas': String(at(object, 'status', 'replicas') ?? 0),
        }),
      },
      {
        kind: 'StatefulSet',
        resource: 'statefulsets',
        short: 'sts',
        categories: 'all',
        generation: true,
        sub: 'status scale',
        scale: replicas,
      },
    ],
  ],
  [
    'events.k8s.io',
    'v1',
    [
      {
        kind: 'Event',
        resource: 'events',
        model: 'EventsV1Event',
        short: 'ev',
        bucket: '/events',
        fields: eventFields,
        convert: eventConversion,
      },
    ],
  ],
  [
    'authentication.k8s.io',
    'v1',
    [
      { kind: 'SelfSubjectReview', resource: 'selfsubjectreviews', cluster: true, verbs: createOnly },
      { kind: 'TokenReview', resource: 'tokenreviews', cluster: true, verbs: createOnly },
    ],
  ],
  [
    'authorization.k8s.io',
    'v1',
    [
      { kind: 'LocalSubjectAccessReview', resource: 'localsubjectaccessreviews', verbs: createOnly },
      {
        kind: 'SelfSubjectAccessReview',
        resource: 'selfsubjectaccessreviews',
        cluster: true,
        verbs: createOnly,
      },
      {
        kind: 'SelfSubjectRulesReview',
        resource: 'selfsubjectrulesreviews',
        cluster: true,
        verbs: createOnly,
      },
      { kind: 'SubjectAccessReview', resource: 'subjectaccessreviews', cluster: true, verbs: createOnly },
    ],
  ],
  [
    'autoscaling',
    'v2',
    [
      {
        kind: 'HorizontalPodAutoscaler',
        resource: 'horizontalpodautoscalers',
        model: 'V2HorizontalPodAutoscaler',
        short: 'hpa',
        categories: 'all',
        sub: 'status',
      },
    ],
  ],
  [
    'batch',
    'v1',
    [
      {
        kind: 'CronJob',
        resource: 'cronjobs',
        short: 'cj',
        categories: 'all',
        generation: true,
        sub: 'status',
      },
      {
        kind: 'Job',
        resource: 'jobs',
        categories: 'all',
        generation: true,
        sub: 'status',
        fields: (object) => ({
          ...metadataFields(object),
          'status.successful': String(at(object, 'status', 'succeeded') ?? 0),
        }),
      },
    ],
  ],
  [
    'networking.k8s.io',
    'v1',
    [
      { kind: 'IPAddress', resource: 'ipaddresses', cluster: true, short: 'ip' },
      { kind: 'IngressClass', resource: 'ingressclasses', cluster: true, generation: true },
      { kind: 'Ingress', resource: 'ingresses', short: 'ing', generation: true, sub: 'status' },
      { kind: 'NetworkPolicy', resource: 'networkpolicies', short: 'netpol', generation: true },
      { kind: 'ServiceCIDR', resource: 'servicecidrs', cluster: true, sub: 'status' },
    ],
  ],
  [
    'policy',
    'v1',
    [
      {
        kind: 'PodDisruptionBudget',
        resource: 'poddisruptionbudgets',
        short: 'pdb',
        generation: true,
        sub: 'status',
      },
    ],
  ],
  [
    'rbac.authorization.k8s.io',
    'v1',
    [
      { kind: 'ClusterRoleBinding', resource: 'clusterrolebindings', cluster: true },
      { kind: 'ClusterRole', resource: 'clusterroles', cluster: true },
      { kind: 'RoleBinding', resource: 'rolebindings' },
      { kind: 'Role', resource: 'roles' },
    ],
  ],
  [
    'storage.k8s.io',
    'v1',
    [
      { kind: 'CSIDriver', resource: 'csidrivers', cluster: true },
      { kind: 'CSINode', resource: 'csinodes', cluster: true },
      { kind: 'CSIStorageCapacity', resource: 'csistoragecapacities' },
      { kind: 'StorageClass', resource: 'storageclasses', cluster: true, short: 'sc' },
      { kind: 'VolumeAttributesClass', resource: 'volumeattributesclasses', cluster: true, short: 'vac' },
      { kind: 'VolumeAttachment', resource: 'volumeattachments', cluster: true, sub: 'status' },
    ],
  ],
  [
    'admissionregistration.k8s.io',
    'v1',
    [
      {
        kind: 'MutatingWebhookConfiguration',
        resource: 'mutatingwebhookconfigurations',
        cluster: true,
        categories: 'api-extensions',
        generation: true,
      },
      {
        kind: 'ValidatingWebhookConfiguration',
        resource: 'validatingwebhookconfigurations',
        cluster: true,
        categories: 'api-extensions',
        generation: true,
      },
    ],
  ],
  [
    'apiextensions.k8s.io',
    'v1',
    [
      {
        kind: 'CustomResourceDefinition',
        resource: 'customresourcedefinitions',
        cluster: true,
        short: 'crd crds',
        categories: 'api-extensions',
        generation: true,
        sub: 'status',
      },
    ],
  ],
  [
    'scheduling.k8s.io',
    'v1',
    [{ kind: 'PriorityClass', resource: 'priorityclasses', cluster: true, short: 'pc', generation: true }],
  ],
  ['coordination.k8s.io', 'v1', [{ kind: 'Lease', resource: 'leases' }]],
  ['node.k8s.io', 'v1', [{ kind: 'RuntimeClass', resource: 'runtimeclasses', cluster: true }]],
  ['discovery.k8s.io', 'v1', [{ kind: 'EndpointSlice', resource: 'endpointslices', generation: true }]],
  [
    'certificates.k8s.io',
    'v1',
    [
      {
        kind: 'CertificateSigningRequest',
        resource: 'certificatesigningrequests',
        cluster: true,
        short: 'csr',
        sub: 'status',
        fields: (object) => ({
          ...metadataFields(object),
          'spec.signerName': asString(at(object, 'spec', 'signerName')),
        }),
      },
    ],
  ],
  [
    'resource.k8s.io',
    'v1',
    [
      { kind: 'DeviceClass', resource: 'deviceclasses', cluster: true, generation: true },
      { kind: 'ResourceClaim', resource: 'resourceclaims', model: 'ResourceV1ResourceClaim', sub: 'status' },
      { kind: 'ResourceClaimTemplate', resource: 'resourceclaimtemplates' },
      {
        kind: 'ResourceSlice',
        resource: 'resourceslices',
        cluster: true,
        generation: true,
        fields: (object) => ({
          ...metadataFields(object),
          'spec.driver': asString(at(object, 'spec', 'driver')),
          'spec.nodeName': asString(at(object, 'spec', 'nodeName')),
        }),
      },
    ],
  ],
];
