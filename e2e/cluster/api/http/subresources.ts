/** Subresources that are more than a part of the object. */
import {
  badRequest,
  conflict,
  field,
  invalid,
  methodNotAllowed,
  notFound,
  tooManyRequests,
} from '../errors.ts';
import {
  type ApiObject,
  asObject,
  asString,
  at,
  child,
  clone,
  isObject,
  type Json,
  type JsonObject,
  timestamp,
} from '../json.ts';
import { jsonPatch } from '../patch/json-patch.ts';
import { mergePatch } from '../patch/merge-patch.ts';
import type { Call } from '../resource/call.ts';
import { deleteObject, deleteOptions } from '../resource/deletes.ts';
import { getObject, settle, updateDecoded } from '../resource/writes.ts';
import { requestToken } from '../reviews.ts';
import { labelSelector } from '../store/selectors.ts';
import { selectorText } from '../tables/columns.ts';
import type { App } from './app.ts';
import { proxyToKubelet } from './kubelet.ts';
import { bodyOf, type Exchange } from './resources.ts';
import { sendJson } from './respond.ts';

/** Serves a subresource; false when the generic handlers do (`status` and the like). */
export async function serveSubresource(app: App, exchange: Exchange): Promise<boolean> {
  const { call, verb } = exchange;
  switch (call.subresource) {
    case 'scale':
      await scale(exchange);
      return true;
    case 'finalize':
      await finalize(exchange);
      return true;
    case 'binding':
      await bind(exchange);
      return true;
    case 'eviction':
      await evict(exchange);
      return true;
    case 'token':
      if (verb !== 'create') throw methodNotAllowed();
      sendJson(exchange.response, 201, requestToken(app, call, (await bodyOf(exchange)).value ?? {}));
      return true;
    case 'log':
    case 'exec':
    case 'attach':
    case 'portforward':
    case 'proxy':
      await proxyToKubelet(app, exchange);
      return true;
    default:
      if (verb !== 'get' && verb !== 'update' && verb !== 'patch') throw methodNotAllowed();
      return false;
  }
}

function segments(path: string): string[] {
  return path.split('.');
}

function setPath(object: JsonObject, path: string, value: Json): void {
  const parts = segments(path);
  let current = object;
  for (const part of parts.slice(0, -1)) current = child(current, part);
  current[parts[parts.length - 1]!] = value;
}

function scaleOf(call: Call, object: ApiObject): JsonObject {
  const paths = call.kind.scale!;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = paths.selector ? at(object, ...segments(paths.selector)) : undefined;
  const replicas = at(object, ...segments(paths.spec)) ?? 0;
  const status: JsonObject = { replicas: at(object, ...segments(paths.status)) ?? 0 };
  if (typeof selector === 'string') status['selector'] = selector;
  else if (isObject(selector)) {
    // Replication controllers select by a plain map.
    const text = selectorText(
      'matchLabels' in selector || 'matchExpressions' in selector ? selector : { matchLabels: selector },
    );
    if (text !== '<none>') status['selector'] = text;
  }
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: replicas ? { replicas } : {},
    status,
  };
}

async function scale(exchange: Exchange): Promise<void> {
  const { call, verb, request, response } = exchange;
  const live = getObject(call);
  const before = scaleOf(call, live);
  if (verb === 'get') {
    sendJson(response, 200, before);
    return;
  }
  const { value } = await bodyOf(exchange);
  let wanted: Json | undefined = value;
  if (verb === 'patch') {
    const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim();
    wanted =
      type === 'application/json-patch+json'
        ? jsonPatch(before, value ?? [])
        : mergePatch(before, value ?? {});
  } else if (verb !== 'update') throw methodNotAllowed();
  const replicas = at(wanted, 'spec', 'replicas') ?? 0;
  const name = call.name!;
  if (typeof replicas !== 'number' || !Number.isInteger(replicas))
    throw badRequest('spec.replicas must be an integer');
  if (replicas < 0) {
    const error = field.invalid('spec.replicas', replicas, 'must be greater than or equal to 0');
    throw invalid({ group: 'autoscaling', kind: 'Scale' }, name, [error]);
  }
  const object = clone(live);
  const revision = asString(at(wanted, 'metadata', 'resourceVersion'));
  object.metadata.resourceVersion = verb === 'update' && revision ? revision : live.metadata.resourceVersion!;
  setPath(object, call.kind.scale!.spec, replicas);
  sendJson(response, 200, scaleOf(call, updateDecoded(call, object)), call.warnings);
}

/** Namespaces: whoever emptied the namespace takes its name off `spec.finalizers`. */
async function finalize(exchange: Exchange): Promise<void> {
  const { call, verb, response } = exchange;
  if (verb !== 'update') throw methodNotAllowed();
  const { value } = await bodyOf(exchange);
  const old = getObject(call);
  const object = clone(old);
  const finalizers = at(value, 'spec', 'finalizers');
  object['spec'] = Array.isArray(finalizers) && finalizers.length > 0 ? { finalizers } : {};
  sendJson(response, 200, settle(call, object, old));
}

async function bind(exchange: Exchange): Promise<void> {
  const { call, verb, response } = exchange;
  if (verb !== 'create') throw methodNotAllowed();
  const { value } = await bodyOf(exchange);
  const old = getObject(call);
  const node = asString(at(value, 'target', 'name'));
  if (!node) throw invalid({ group: '', kind: 'Binding' }, call.name!, [field.required('target.name')]);
  if (old.metadata.deletionTimestamp) {
    throw conflict(
      { group: '', resource: 'pods/binding' },
      call.name!,
      `pod ${call.name} is being deleted, cannot be assigned to a host`,
    );
  }
  const present = asString(at(old, 'spec', 'nodeName'));
  if (present) {
    throw conflict(
      { group: '', resource: 'pods/binding' },
      call.name!,
      `pod ${call.name} is already assigned to node "${present}"`,
    );
  }
  const uid = asString(at(value, 'metadata', 'uid'));
  if (uid && uid !== old.metadata.uid) {
    throw conflict(
      call.kind,
      call.name!,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`,
    );
  }
  const object = clone(old);
  child(object, 'spec')['nodeName'] = node;
  const annotations = asObject(at(value, 'metadata', 'annotations')) as { [key: string]: string };
  if (Object.keys(annotations).length > 0)
    object.metadata.annotations = { ...object.metadata.annotations, ...annotations };
  const status = child(object, 'status');
  const rest = (Array.isArray(status['conditions']) ? status['conditions'] : []).filter(
    (each) => asObject(each)['type'] !== 'PodScheduled',
  );
  const condition = {
    type: 'PodScheduled',
    status: 'True',
    lastProbeTime: null,
    lastTransitionTime: timestamp(call.core.now()),
  };
  status['conditions'] = [...rest, condition];
  settle(call, object, old);
  sendJson(response, 201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
}

/** Deletes a pod if its disruption budgets allow, and counts it against them. */
async function evict(exchange: Exchange): Promise<void> {
  const { call, verb, response } = exchange;
  if (verb !== 'create') throw methodNotAllowed();
  const { value } = await bodyOf(exchange);
  const pod = getObject(call);
  if (!pod) throw notFound(call.kind, call.name!);
  const phase = at(pod, 'status', 'phase');
  const counts =
    phase !== 'Succeeded' && phase !== 'Failed' && phase !== 'Pending' && !pod.metadata.deletionTimestamp;
  if (counts) takeFromBudget(call, pod);
  deleteObject(call, deleteOptions(call, at(value, 'deleteOptions')));
  sendJson(response, 201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
}

function takeFromBudget(call: Call, pod: ApiObject): void {
  const bucket = call.core.store.bucket('policy/poddisruptionbudgets');
  const budgets = bucket
    .list(`${call.namespace}/`)
    .filter((budget) => labelSelector(at(budget, 'spec', 'selector'))(pod.metadata.labels ?? {}));
  for (const budget of budgets) {
    const allowed = at(budget, 'status', 'disruptionsAllowed');
    if (typeof allowed === 'number' && allowed > 0) continue;
    const why = `The disruption budget ${budget.metadata.name} needs ${at(budget, 'status', 'desiredHealthy') ?? 0} healthy pods and has ${at(budget, 'status', 'currentHealthy') ?? 0} currently`;
    throw tooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0, [
      { reason: 'DisruptionBudget', message: why },
    ]);
  }
  for (const budget of budgets) {
    const changed = clone(budget);
    const status = child(changed, 'status');
    status['disruptionsAllowed'] = (status['disruptionsAllowed'] as number) - 1;
    child(status, 'disruptedPods')[pod.metadata.name!] = timestamp(call.core.now());
    bucket.put(`${budget.metadata.namespace}/${budget.metadata.name}`, changed);
  }
}
