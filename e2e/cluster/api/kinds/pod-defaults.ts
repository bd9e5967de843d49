/** Defaults of pod specs, alone and in templates. */
import { asObject, asObjects, asString, child, isObject, type JsonObject, setDefault } from '../json.ts';

/** Fills in what the kubelet, controllers and `kubectl diff` expect to find in a pod spec. */
export function defaultPodSpec(spec: JsonObject): void {
  setDefault(spec, 'restartPolicy', 'Always');
  setDefault(spec, 'terminationGracePeriodSeconds', 30);
  setDefault(spec, 'dnsPolicy', 'ClusterFirst');
  setDefault(spec, 'securityContext', {});
  setDefault(spec, 'schedulerName', 'default-scheduler');
  // The old spelling of the same field is always kept equal.
  if (spec['serviceAccountName']) spec['serviceAccount'] = spec['serviceAccountName'];
  else if (spec['serviceAccount']) spec['serviceAccountName'] = spec['serviceAccount'];
  for (const key of ['containers', 'initContainers', 'ephemeralContainers']) {
    for (const container of asObjects(spec[key])) {
      defaultContainer(container, spec['hostNetwork'] === true);
    }
  }
  for (const volume of asObjects(spec['volumes'])) defaultVolume(volume);
  for (const constraint of asObjects(spec['topologySpreadConstraints'])) {
    if (constraint['nodeAffinityPolicy'] === null) delete constraint['nodeAffinityPolicy'];
  }
}

function defaultContainer(container: JsonObject, hostNetwork: boolean): void {
  setDefault(container, 'terminationMessagePath', '/dev/termination-log');
  setDefault(container, 'terminationMessagePolicy', 'File');
  setDefault(container, 'imagePullPolicy', pullPolicy(asString(container['image'])));
  setDefault(container, 'resources', {});
  for (const port of asObjects(container['ports'])) {
    setDefault(port, 'protocol', 'TCP');
    if (hostNetwork && !port['hostPort'] && port['containerPort'] !== undefined) {
      port['hostPort'] = port['containerPort'];
    }
  }
  for (const key of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = container[key];
    if (isObject(probe)) defaultProbe(probe);
  }
  for (const hook of Object.values(asObject(container['lifecycle']))) {
    if (isObject(hook)) defaultHttpGet(hook);
  }
  for (const variable of asObjects(container['env'])) {
    const reference = asObject(variable['valueFrom'])['fieldRef'];
    if (isObject(reference)) setDefault(reference, 'apiVersion', 'v1');
  }
}

/** An image whose tag is absent or `latest` is always pulled. */
function pullPolicy(image: string): string {
  if (image.includes('@')) return 'IfNotPresent';
  const tag = /:([^/:]+)$/.exec(image)?.[1];
  return tag === undefined || tag === 'latest' ? 'Always' : 'IfNotPresent';
}

/** Pods, and only they, request what they limit where they say nothing of requests. */
export function requestsFromLimits(resources: JsonObject): void {
  const limits = asObject(resources['limits']);
  if (Object.keys(limits).length === 0) return;
  const requests = child(resources, 'requests');
  for (const [name, quantity] of Object.entries(limits)) {
    if (quantity !== undefined) setDefault(requests, name, quantity);
  }
}

function defaultProbe(probe: JsonObject): void {
  for (const [key, value] of [
    ['timeoutSeconds', 1],
    ['periodSeconds', 10],
    ['successThreshold', 1],
    ['failureThreshold', 3],
  ] as const) {
    // Zero means unset here, as in the Go types.
    if (probe[key] === 0) delete probe[key];
    setDefault(probe, key, value);
  }
  defaultHttpGet(probe);
  if (isObject(probe['grpc'])) setDefault(probe['grpc'], 'service', '');
}

function defaultHttpGet(handler: JsonObject): void {
  const get = handler['httpGet'];
  if (!isObject(get)) return;
  if (get['path'] === '') delete get['path'];
  setDefault(get, 'path', '/');
  setDefault(get, 'scheme', 'HTTP');
}

const fileMode = 0o644;

function defaultVolume(volume: JsonObject): void {
  const sources = Object.keys(volume).filter((key) => key !== 'name' && volume[key] !== undefined);
  if (sources.length === 0) volume['emptyDir'] = {};
  for (const key of ['secret', 'configMap', 'downwardAPI', 'projected']) {
    const source = volume[key];
    if (isObject(source)) setDefault(source, 'defaultMode', fileMode);
  }
  if (isObject(volume['hostPath'])) setDefault(volume['hostPath'], 'type', '');
  const items = [...asObjects(asObject(volume['downwardAPI'])['items'])];
  for (const source of asObjects(asObject(volume['projected'])['sources'])) {
    const token = source['serviceAccountToken'];
    if (isObject(token)) setDefault(token, 'expirationSeconds', 3600);
    items.push(...asObjects(asObject(source['downwardAPI'])['items']));
  }
  for (const item of items) {
    if (isObject(item['fieldRef'])) setDefault(item['fieldRef'], 'apiVersion', 'v1');
  }
}

/** Defaults of a pod template in a workload. */
export function defaultTemplate(spec: JsonObject): void {
  const template = child(spec, 'template');
  child(template, 'metadata');
  defaultPodSpec(child(template, 'spec'));
}
