/**
 * How lists and maps of the built-in kinds merge: facts of the Kubernetes API, by model and field. A list that is not
 * named here is atomic. `keys` are the server-side apply keys; `merge` is the key of strategic merge patches where it
 * differs from the first of them.
 */
export interface ListType {
  readonly keys?: readonly string[];
  readonly set?: true;
  /** Merge key of strategic merge patch; absent: the first of `keys`. `''`: strategic merge replaces the list. */
  readonly merge?: string;
  readonly retainKeys?: true;
  /** Strategic merge patch adds to a list of scalars. */
  readonly mergeScalars?: true;
}

const byName: ListType = { keys: ['name'] };
const byType: ListType = { keys: ['type'] };
const conditions = { conditions: byType };
const container = {
  env: byName,
  ports: { keys: ['containerPort', 'protocol'] },
  volumeDevices: { keys: ['devicePath'] },
  volumeMounts: { keys: ['mountPath'] },
};
const plainSet: ListType = { set: true, merge: '' };

export const listTypes: Readonly<Record<string, Readonly<Record<string, ListType>>>> = {
  V1ObjectMeta: { finalizers: { set: true, mergeScalars: true }, ownerReferences: { keys: ['uid'] } },
  V1Container: container,
  V1EphemeralContainer: container,
  V1ContainerStatus: { allocatedResourcesStatus: byName, volumeMounts: { keys: ['mountPath'] } },
  V1PodSpec: {
    containers: byName,
    ephemeralContainers: byName,
    hostAliases: { keys: ['ip'] },
    imagePullSecrets: byName,
    initContainers: byName,
    resourceClaims: { keys: ['name'], retainKeys: true },
    schedulingGates: byName,
    topologySpreadConstraints: { keys: ['topologyKey', 'whenUnsatisfiable'] },
    volumes: { keys: ['name'], retainKeys: true },
  },
  V1PodStatus: {
    ...conditions,
    podIPs: { keys: ['ip'] },
    resourceClaimStatuses: { keys: ['name'], retainKeys: true },
  },
  V1ResourceRequirements: { claims: { keys: ['name'], merge: '' } },
  V1ResourceStatus: { resources: { keys: ['resourceID'], merge: '' } },
  V1NamespaceStatus: conditions,
  V1NodeSpec: { podCIDRs: { set: true, mergeScalars: true } },
  V1NodeStatus: { ...conditions, addresses: byType },
  V1PersistentVolumeClaimStatus: conditions,
  V1ReplicationControllerStatus: conditions,
  V1ServiceAccount: { secrets: byName },
  V1ServiceSpec: { ports: { keys: ['port', 'protocol'] } },
  V1ServiceStatus: conditions,
  V1DaemonSetStatus: conditions,
  V1DeploymentStatus: conditions,
  V1ReplicaSetStatus: conditions,
  V1StatefulSetStatus: conditions,
  V2HorizontalPodAutoscalerStatus: conditions,
  V1UncountedTerminatedPods: { failed: plainSet, succeeded: plainSet },
  V1PodFailurePolicyOnExitCodesRequirement: { values: plainSet },
  V1PodDisruptionBudgetStatus: conditions,
  V1Endpoint: { addresses: plainSet },
  V1CustomResourceDefinitionStatus: { conditions: { keys: ['type'], merge: '' } },
  V1JSONSchemaProps: { 'x-kubernetes-validations': { keys: ['rule'] } },
  V1CSINodeSpec: { drivers: byName },
  V1MutatingWebhookConfiguration: { webhooks: byName },
  V1ValidatingWebhookConfiguration: { webhooks: byName },
  V1MutatingWebhook: { matchConditions: byName },
  V1ValidatingWebhook: { matchConditions: byName },
};

/** Models that server-side apply replaces whole. */
export const atomicModels: ReadonlySet<string> = new Set([
  'V1ConfigMapKeySelector',
  'V1EndpointAddress',
  'CoreV1EndpointPort',
  'DiscoveryV1EndpointPort',
  'V1FileKeySelector',
  'V1LabelSelector',
  'V1LocalObjectReference',
  'V1NodeSelector',
  'V1NodeSelectorTerm',
  'V1ObjectFieldSelector',
  'V1ObjectReference',
  'V1OwnerReference',
  'V1ResourceFieldSelector',
  'V1RoleRef',
  'RbacV1Subject',
  'V1ScopeSelector',
  'V1SecretKeySelector',
  'V1SecretReference',
  'V1ServiceBackendPort',
  'V1TopologySelectorTerm',
  'V1TypedLocalObjectReference',
]);

/** Maps, and references to models that are otherwise granular or atomic, by model and field. */
export const mapTypes: Readonly<Record<string, Readonly<Record<string, 'atomic' | 'granular'>>>> = {
  V1PodSpec: { nodeSelector: 'atomic' },
  V1ReplicationControllerSpec: { selector: 'atomic' },
  V1ServiceSpec: { selector: 'atomic' },
  V1Scheduling: { nodeSelector: 'atomic' },
  V1PersistentVolumeSpec: { claimRef: 'granular' },
};

/** Objects of which strategic merge patch keeps only the keys that the patch names, when it says so. */
export const retainKeys: Readonly<Record<string, readonly string[]>> = { V1DeploymentSpec: ['strategy'] };

/** Lists that strategic merge patch merges by a key though server-side apply holds them atomic. */
export const strategicOnly: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  V1JobStatus: { conditions: 'type' },
  V1PodStatus: { hostIPs: 'ip' },
};
