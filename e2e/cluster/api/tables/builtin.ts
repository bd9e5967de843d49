/** Columns of the built-in kinds, as `kubectl get` shows them. */
import { type ApiObject, asList, asObject, asObjects, asString, at, type JsonObject } from '../json.ts';
import type { TablePrinter } from '../kinds/kind.ts';
import {
  ageColumn,
  containers,
  count,
  number,
  pairs,
  printer,
  type Reader,
  type Row,
  selectorText,
  size,
  templateColumns,
  text,
  value,
} from './columns.ts';
import { age, duration } from './format.ts';
import { podPrinter } from './pods.ts';

function servicePorts(object: ApiObject): string {
  const ports = asObjects(at(object, 'spec', 'ports')).map((port) => {
    const node = port['nodePort'] ? `:${port['nodePort']}` : '';
    return `${port['port']}${node}/${asString(port['protocol'])}`;
  });
  return ports.length > 0 ? ports.join(',') : '<none>';
}

function externalAddress(object: ApiObject): string {
  const type = at(object, 'spec', 'type');
  if (type === 'ExternalName') return asString(at(object, 'spec', 'externalName'));
  const ingress = asObjects(at(object, 'status', 'loadBalancer', 'ingress'));
  const addresses = [
    ...ingress.map((each) => asString(each['ip']) || asString(each['hostname'])),
    ...asList(at(object, 'spec', 'externalIPs')).map(String),
  ];
  if (addresses.length > 0) return addresses.join(',');
  return type === 'LoadBalancer' ? '<pending>' : '<none>';
}

function nodeStatus(object: ApiObject): string {
  const ready = asObjects(at(object, 'status', 'conditions')).find((each) => each['type'] === 'Ready');
  const states = [ready === undefined ? 'Unknown' : ready['status'] === 'True' ? 'Ready' : 'NotReady'];
  if (at(object, 'spec', 'unschedulable') === true) states.push('SchedulingDisabled');
  return states.join(',');
}

function nodeRoles(object: ApiObject): string {
  const prefix = 'node-role.kubernetes.io/';
  const roles = Object.keys(object.metadata.labels ?? {})
    .filter((key) => key.startsWith(prefix))
    .map((key) => key.slice(prefix.length))
    .sort();
  return roles.length > 0 ? roles.join(',') : '<none>';
}

function nodeAddress(type: string): Reader {
  return (object) =>
    text(asObjects(at(object, 'status', 'addresses')).find((each) => each['type'] === type)?.['address']);
}

function jobStatus(object: ApiObject): string {
  const conditions = asObjects(at(object, 'status', 'conditions')).filter(
    (each) => each['status'] === 'True',
  );
  const has = (type: string) => conditions.some((each) => each['type'] === type);
  if (has('Complete')) return 'Complete';
  if (has('Failed')) return 'Failed';
  if (object.metadata.deletionTimestamp) return 'Terminating';
  if (has('Suspended')) return 'Suspended';
  if (has('FailureTarget')) return 'FailureTarget';
  if (has('SuccessCriteriaMet')) return 'SuccessCriteriaMet';
  return 'Running';
}

function jobDuration(object: ApiObject, now: number): string {
  const started = asString(at(object, 'status', 'startTime'));
  if (!started) return '';
  const ended = asString(at(object, 'status', 'completionTime'));
  const end = ended ? Date.parse(ended) : now;
  return duration(Math.floor((end - Date.parse(started)) / 1000));
}

function eventTime(object: ApiObject, now: number): string {
  const series = asString(at(object, 'series', 'lastObservedTime'));
  const time =
    series ||
    asString(object['lastTimestamp'] ?? object['deprecatedLastTimestamp']) ||
    asString(object['eventTime']);
  return age(time || undefined, now);
}

function eventObject(object: ApiObject): string {
  const about: JsonObject = asObject(object['involvedObject'] ?? object['regarding']);
  return `${asString(about['kind']).toLowerCase()}/${asString(about['name'])}`;
}

const eventPrinter: TablePrinter = {
  columns: [
    { name: 'Last Seen', type: 'string' },
    { name: 'Type', type: 'string' },
    { name: 'Reason', type: 'string' },
    { name: 'Object', type: 'string' },
    { name: 'Subobject', type: 'string', priority: 1 },
    { name: 'Source', type: 'string', priority: 1 },
    { name: 'Message', type: 'string' },
    { name: 'First Seen', type: 'string', priority: 1 },
    { name: 'Count', type: 'string', priority: 1 },
    { name: 'Name', type: 'string', format: 'name', priority: 1 },
  ],
  cells: (object, now) => {
    const about = asObject(object['involvedObject'] ?? object['regarding']);
    const source = asObject(object['source'] ?? object['deprecatedSource']);
    const component = asString(source['component']) || asString(object['reportingComponent']);
    const host = asString(source['host']);
    const first =
      asString(object['firstTimestamp'] ?? object['deprecatedFirstTimestamp']) ||
      asString(object['eventTime']);
    const times =
      number(object['count'] ?? object['deprecatedCount']) || number(at(object, 'series', 'count')) || 1;
    return [
      eventTime(object, now),
      asString(object['type']),
      asString(object['reason']),
      eventObject(object),
      asString(about['fieldPath']),
      host ? `${component}, ${host}` : component,
      asString(object['message'] ?? object['note']).trim(),
      age(first || undefined, now),
      times,
      object.metadata.name ?? '',
    ];
  },
};

function subjects(kind: string): Reader {
  return (object) =>
    asObjects(object['subjects'])
      .filter((each) => each['kind'] === kind)
      .map((each) =>
        kind === 'ServiceAccount' ? `${each['namespace']}/${each['name']}` : asString(each['name']),
      )
      .join(', ');
}

const bindingColumns: readonly Row[] = [
  [
    'Role',
    'string',
    (object) => `${asString(at(object, 'roleRef', 'kind'))}/${asString(at(object, 'roleRef', 'name'))}`,
  ],
  ageColumn,
  ['Users', 'string', subjects('User'), true],
  ['Groups', 'string', subjects('Group'), true],
  ['ServiceAccounts', 'string', subjects('ServiceAccount'), true],
];

const createdAt: Row = ['Created At', 'date', (object) => object.metadata.creationTimestamp ?? ''];

function sliceEndpoints(object: ApiObject): string {
  const addresses = asObjects(object['endpoints']).flatMap((each) => asList(each['addresses']).map(String));
  if (addresses.length === 0) return '<unset>';
  const more = addresses.length - 3;
  return more > 0 ? `${addresses.slice(0, 3).join(',')} + ${more} more...` : addresses.join(',');
}

function endpointAddresses(object: ApiObject): string {
  const all = asObjects(object['subsets']).flatMap((subset) =>
    asObjects(subset['ports']).flatMap((port) =>
      asObjects(subset['addresses']).map((address) => `${asString(address['ip'])}:${port['port']}`),
    ),
  );
  if (all.length === 0) return '<none>';
  return all.length > 3 ? `${all.slice(0, 3).join(',')} + ${all.length - 3} more...` : all.join(',');
}

function claimColumns(status: string): readonly Row[] {
  return [
    ['Status', 'string', value('status', 'phase')],
    ['Volume', 'string', (object) => asString(at(object, 'spec', 'volumeName'))],
    ['Capacity', 'string', (object) => asString(at(object, 'status', 'capacity', 'storage'))],
    [
      'Access Modes',
      'string',
      (object) =>
        asList(at(object, status, 'accessModes'))
          .map(String)
          .join(','),
    ],
    ['StorageClass', 'string', (object) => asString(at(object, 'spec', 'storageClassName'))],
    ageColumn,
  ];
}

export const printers: Readonly<Record<string, TablePrinter>> = {
  '/pods': podPrinter,
  '/namespaces': printer(['Status', 'string', value('status', 'phase')], ageColumn),
  '/nodes': printer(
    ['Status', 'string', nodeStatus],
    ['Roles', 'string', nodeRoles],
    ageColumn,
    ['Version', 'string', (object) => asString(at(object, 'status', 'nodeInfo', 'kubeletVersion'))],
    ['Internal-IP', 'string', nodeAddress('InternalIP'), true],
    ['External-IP', 'string', nodeAddress('ExternalIP'), true],
    [
      'OS-Image',
      'string',
      (object) => asString(at(object, 'status', 'nodeInfo', 'osImage')) || '<unknown>',
      true,
    ],
    [
      'Kernel-Version',
      'string',
      (object) => asString(at(object, 'status', 'nodeInfo', 'kernelVersion')) || '<unknown>',
      true,
    ],
    [
      'Container-Runtime',
      'string',
      (object) => asString(at(object, 'status', 'nodeInfo', 'containerRuntimeVersion')) || '<unknown>',
      true,
    ],
  ),
  '/services': printer(
    ['Type', 'string', value('spec', 'type')],
    ['Cluster-IP', 'string', value('spec', 'clusterIP')],
    ['External-IP', 'string', externalAddress],
    ['Port(s)', 'string', servicePorts],
    ageColumn,
    ['Selector', 'string', (object) => pairs(at(object, 'spec', 'selector')), true],
  ),
  '/endpoints': printer(['Endpoints', 'string', endpointAddresses], ageColumn),
  '/configmaps': printer(
    [
      'Data',
      'string',
      (object) => Object.keys({ ...asObject(object['data']), ...asObject(object['binaryData']) }).length,
    ],
    ageColumn,
  ),
  '/secrets': printer(['Type', 'string', value('type')], ['Data', 'string', size('data')], ageColumn),
  '/serviceaccounts': printer(['Secrets', 'string', (object) => asList(object['secrets']).length], ageColumn),
  '/events': eventPrinter,
  'events.k8s.io/events': eventPrinter,
  '/persistentvolumeclaims': printer(...claimColumns('status')),
  '/persistentvolumes': printer(
    ['Capacity', 'string', (object) => asString(at(object, 'spec', 'capacity', 'storage'))],
    ['Reclaim Policy', 'string', value('spec', 'persistentVolumeReclaimPolicy')],
    ['Status', 'string', value('status', 'phase')],
    ['StorageClass', 'string', (object) => asString(at(object, 'spec', 'storageClassName'))],
    ageColumn,
  ),
  '/replicationcontrollers': printer(
    ['Desired', 'integer', count('spec', 'replicas')],
    ['Current', 'integer', count('status', 'replicas')],
    ['Ready', 'integer', count('status', 'readyReplicas')],
    ageColumn,
    ...containers('spec', 'template'),
  ),
  'apps/deployments': printer(
    [
      'Ready',
      'string',
      (object) =>
        `${number(at(object, 'status', 'readyReplicas'))}/${number(at(object, 'spec', 'replicas'))}`,
    ],
    ['Up-to-date', 'string', count('status', 'updatedReplicas')],
    ['Available', 'string', count('status', 'availableReplicas')],
    ageColumn,
    ...templateColumns,
  ),
  'apps/replicasets': printer(
    ['Desired', 'integer', count('spec', 'replicas')],
    ['Current', 'integer', count('status', 'replicas')],
    ['Ready', 'integer', count('status', 'readyReplicas')],
    ageColumn,
    ...templateColumns,
  ),
  'apps/statefulsets': printer(
    [
      'Ready',
      'string',
      (object) =>
        `${number(at(object, 'status', 'readyReplicas'))}/${number(at(object, 'spec', 'replicas'))}`,
    ],
    ageColumn,
    ...containers('spec', 'template'),
  ),
  'apps/daemonsets': printer(
    ['Desired', 'integer', count('status', 'desiredNumberScheduled')],
    ['Current', 'integer', count('status', 'currentNumberScheduled')],
    ['Ready', 'integer', count('status', 'numberReady')],
    ['Up-to-date', 'integer', count('status', 'updatedNumberScheduled')],
    ['Available', 'integer', count('status', 'numberAvailable')],
    ['Node Selector', 'string', (object) => pairs(at(object, 'spec', 'template', 'spec', 'nodeSelector'))],
    ageColumn,
    ...templateColumns,
  ),
  'apps/controllerrevisions': printer(
    [
      'Controller',
      'string',
      (object) => {
        const owner = object.metadata.ownerReferences?.find((each) => each.controller);
        return owner
          ? `${owner.kind.toLowerCase()}.${owner.apiVersion.split('/')[0]}/${owner.name}`
          : '<none>';
      },
    ],
    ['Revision', 'string', count('revision')],
    ageColumn,
  ),
  'batch/jobs': printer(
    ['Status', 'string', jobStatus],
    [
      'Completions',
      'string',
      (object) => {
        const wanted = at(object, 'spec', 'completions');
        const done = number(at(object, 'status', 'succeeded'));
        return `${done}/${typeof wanted === 'number' ? wanted : 1}`;
      },
    ],
    ['Duration', 'string', jobDuration],
    ageColumn,
    ...templateColumns,
  ),
  'batch/cronjobs': printer(
    ['Schedule', 'string', value('spec', 'schedule')],
    ['Timezone', 'string', value('spec', 'timeZone')],
    ['Suspend', 'boolean', (object) => (at(object, 'spec', 'suspend') === true ? 'True' : 'False')],
    ['Active', 'integer', (object) => asList(at(object, 'status', 'active')).length],
    [
      'Last Schedule',
      'string',
      (object, now) => {
        const last = asString(at(object, 'status', 'lastScheduleTime'));
        return last ? age(last, now) : '<none>';
      },
    ],
    ageColumn,
  ),
  'autoscaling/horizontalpodautoscalers': printer(
    [
      'Reference',
      'string',
      (object) =>
        `${asString(at(object, 'spec', 'scaleTargetRef', 'kind'))}/${asString(at(object, 'spec', 'scaleTargetRef', 'name'))}`,
    ],
    ['Targets', 'string', () => '<unknown>'],
    ['MinPods', 'string', count('spec', 'minReplicas')],
    ['MaxPods', 'string', count('spec', 'maxReplicas')],
    ['Replicas', 'string', count('status', 'currentReplicas')],
    ageColumn,
  ),
  'policy/poddisruptionbudgets': printer(
    ['Min Available', 'string', (object) => String(at(object, 'spec', 'minAvailable') ?? 'N/A')],
    ['Max Unavailable', 'string', (object) => String(at(object, 'spec', 'maxUnavailable') ?? 'N/A')],
    ['Allowed Disruptions', 'integer', count('status', 'disruptionsAllowed')],
    ageColumn,
  ),
  'rbac.authorization.k8s.io/roles': printer(createdAt),
  'rbac.authorization.k8s.io/clusterroles': printer(createdAt),
  'rbac.authorization.k8s.io/rolebindings': printer(...bindingColumns),
  'rbac.authorization.k8s.io/clusterrolebindings': printer(...bindingColumns),
  'networking.k8s.io/networkpolicies': printer(
    ['Pod-Selector', 'string', (object) => selectorText(at(object, 'spec', 'podSelector'))],
    ageColumn,
  ),
  'networking.k8s.io/ingresses': printer(
    ['Class', 'string', value('spec', 'ingressClassName')],
    [
      'Hosts',
      'string',
      (object) =>
        asObjects(at(object, 'spec', 'rules'))
          .map((each) => asString(each['host']) || '*')
          .join(',') || '*',
    ],
    [
      'Address',
      'string',
      (object) =>
        asObjects(at(object, 'status', 'loadBalancer', 'ingress'))
          .map((each) => asString(each['ip']) || asString(each['hostname']))
          .join(','),
    ],
    ['Ports', 'string', (object) => (asList(at(object, 'spec', 'tls')).length > 0 ? '80, 443' : '80')],
    ageColumn,
  ),
  'networking.k8s.io/ingressclasses': printer(
    ['Controller', 'string', value('spec', 'controller')],
    ['Parameters', 'string', value('spec', 'parameters', 'name')],
    ageColumn,
  ),
  'scheduling.k8s.io/priorityclasses': printer(
    ['Value', 'string', count('value')],
    ['Global-Default', 'boolean', (object) => object['globalDefault'] === true],
    ageColumn,
    ['PreemptionPolicy', 'string', value('preemptionPolicy')],
  ),
  'storage.k8s.io/storageclasses': printer(
    ['Provisioner', 'string', value('provisioner')],
    ['ReclaimPolicy', 'string', value('reclaimPolicy')],
    ['VolumeBindingMode', 'string', value('volumeBindingMode')],
    ['AllowVolumeExpansion', 'string', (object) => object['allowVolumeExpansion'] === true],
    ageColumn,
  ),
  'coordination.k8s.io/leases': printer(
    ['Holder', 'string', (object) => asString(at(object, 'spec', 'holderIdentity'))],
    ageColumn,
  ),
  'node.k8s.io/runtimeclasses': printer(['Handler', 'string', value('handler')], ageColumn),
  'discovery.k8s.io/endpointslices': printer(
    ['AddressType', 'string', value('addressType')],
    [
      'Ports',
      'string',
      (object) =>
        asObjects(object['ports'])
          .map((each) => String(each['port'] ?? '*'))
          .join(',') || '<unset>',
    ],
    ['Endpoints', 'string', sliceEndpoints],
    ageColumn,
  ),
  'apiextensions.k8s.io/customresourcedefinitions': printer(createdAt),
};
