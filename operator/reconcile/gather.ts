/** All reads of a model's reconcile, into one readonly value. */

import { serverPorts } from '#contract';
import { completeModel, completeVersion, defaultModelSpec } from '../api/defaults.ts';
import type { RouteKind } from '../api/gateway.ts';
import type { ModelVersion, ModelVersionStatus } from '../api/generated/model-version.ts';
import { isOwnedBy, isReady, type KubernetesObject, type Pod } from '../api/kubernetes.ts';
import { optional } from '../api/optional.ts';
import { noTraffic } from '../api/traffic.ts';
import { usesRouter } from '../decide/endpoint.ts';
import type { RouteObserved, RoutesObserved } from '../decide/gateway-routes.ts';
import type { ModelObserved, RouterObserved, VersionObserved } from '../decide/observed.ts';
import { stageOf } from '../decide/starts.ts';
import { versionChildName } from '../resources/names.ts';
import { type Comparison, comparisonOf, type EvidenceBook } from './evidence-book.ts';
import { byModel, byNamespace, byRouterNamespace, byVersion, versionKey } from './indexes.ts';
import type { PortBook } from './port-book.ts';
import type { Ports, RouterReports, ServerPod, StartingPod, View } from './ports.ts';

/** What an operator remembers between visits, and can do without after a restart. */
export interface Books {
  readonly ports: PortBook;
  readonly evidence: EvidenceBook;
  /** What was written of how servers started, by model (`namespace/name`) and UID of the version: see `VersionObserved`. */
  readonly started: Map<string, ReadonlyMap<string, NonNullable<ModelVersionStatus['server']>>>;
}

/**
 * @param rejected what the API server said of what it refused last: workloads by name of their ModelVersion, routes by kind
 */
export function gatherModel(
  { views, routers, servers, starts }: Pick<Ports, 'views' | 'routers' | 'servers' | 'starts'>,
  { ports, evidence, started }: Books,
  namespace: string,
  name: string,
  rejected: ReadonlyMap<string, string> = new Map(),
): ModelObserved {
  const stored = views.models.get(`${namespace}/${name}`);
  const model = stored === undefined ? undefined : completeModel(stored);
  const gathered = views.versions
    .by(byModel, `${namespace}/${name}`)
    .map((version) => gatherVersion(views, completeVersion(version), rejected.get(version.metadata.name)));
  const said = starts.of(`${namespace}/${name}`, gathered.flatMap(startingPods));
  const written = started.get(`${namespace}/${name}`);
  const versions = gathered.map((version) => {
    const { metadata, status } = version.object;
    const server = status?.server ?? written?.get(metadata.uid ?? '');
    return { ...version, starts: said, ...optional('server', server) };
  });
  const uid = model?.metadata.uid;
  const comparison = comparisonOf(model);
  const service = views.services.get(`${namespace}/${name}`);
  const portOf = (): number | undefined => {
    if (model === undefined || usesRouter(model))
      return ports.portOf(namespace, name, views.services.by(byNamespace, namespace));
    ports.release(namespace, name);
    return undefined;
  };
  return {
    namespace,
    name,
    ...optional('model', model),
    versions,
    pools: new Map(views.pools.list().map((pool) => [pool.metadata.name, pool])),
    namespaceLabels: views.namespaces.get(namespace)?.metadata.labels ?? {},
    routers: routersOf(views.pods.by(byRouterNamespace, namespace), routers, namespace, uid),
    ...optional('concurrency', uid === undefined ? undefined : routers.concurrency(namespace, uid)),
    evidence: evidence.read(
      `${namespace}/${name}`,
      comparison,
      {
        traffic: uid === undefined ? noTraffic : routers.traffic(namespace, uid),
        servers:
          comparison === undefined
            ? new Map()
            : servers.counts(`${namespace}/${name}`, serverPods(versions, comparison)),
      },
      (model?.spec ?? defaultModelSpec).rollout.analysis,
    ),
    ...optional('port', portOf()),
    gatewayRoutes: gatherRoutes(views, `${namespace}/${name}`, uid, rejected),
    foreign: uid === undefined ? [] : foreign(service, uid),
  };
}

/** Ready pods of the versions that are compared. */
function serverPods(versions: readonly VersionObserved[], { stable, candidate }: Comparison): ServerPod[] {
  return versions
    .filter(({ object: { spec } }) => spec.version === stable || spec.version === candidate)
    .flatMap(({ object: { spec }, pods }) =>
      pods.filter(isReady).flatMap((pod) => reachable(pod, spec.version, spec.server.ports.metrics)),
    );
}

/** Pods of a version that may say how they start. */
function startingPods({ object: { spec }, pods }: VersionObserved): StartingPod[] {
  const portOf = { fetching: serverPorts.metrics, serving: spec.server.ports.metrics };
  return pods.flatMap((pod) => {
    const stage = stageOf(pod);
    if (stage === undefined) return [];
    const { containerStatuses, initContainerStatuses } = pod.status ?? {};
    const statuses = stage === 'fetching' ? initContainerStatuses : containerStatuses;
    const run = (statuses ?? []).reduce((sum, { restartCount }) => sum + restartCount, 0);
    return reachable(pod, spec.version, portOf[stage]).map((at) => ({ ...at, stage, run }));
  });
}

function reachable({ metadata: { uid }, status }: Pod, version: string, port: number): ServerPod[] {
  const address = status?.podIP;
  return uid === undefined || address === undefined ? [] : [{ version, uid, address, port }];
}

function gatherVersion(
  views: Ports['views'],
  object: ModelVersion,
  rejected: string | undefined,
): VersionObserved {
  const { namespace = '', name, uid = '' } = object.metadata;
  const key = `${namespace}/${versionChildName(name)}`;
  const children: View<KubernetesObject>[] = [views.deployments, views.services];
  const deployment = views.deployments.get(key);
  return {
    object,
    ...optional(
      'deployment',
      deployment !== undefined && isOwnedBy(deployment, uid) ? deployment : undefined,
    ),
    pods: views.pods.by(byVersion, versionKey(namespace, object.spec.model, object.spec.version)),
    foreign: children.flatMap((view) => foreign(view.get(key), uid)),
    ...optional('rejected', rejected),
  };
}

function gatherRoutes(
  views: Ports['views'],
  key: string,
  uid: string | undefined,
  rejected: ReadonlyMap<string, string>,
): RoutesObserved {
  const observed = (kind: RouteKind): RouteObserved => {
    const { state } = views.routes[kind];
    const route = views.routes[kind].get(key);
    if (state !== 'read' || route === undefined || uid === undefined) {
      return { state, ...optional('rejected', rejected.get(kind)) };
    }
    return isOwnedBy(route, uid)
      ? { state, route, ...optional('rejected', rejected.get(kind)) }
      : { state: 'foreign' };
  };
  return { HTTPRoute: observed('HTTPRoute'), GRPCRoute: observed('GRPCRoute') };
}

/** Names an object that stands where a child of `uid` should, unless it is that child. */
function foreign(object: KubernetesObject | undefined, uid: string): string[] {
  if (object === undefined || isOwnedBy(object, uid)) return [];
  return [`${object.kind} ${object.metadata.name}`];
}

/**
 * The routers whose word the status waits for: those that are ready, but for those that have fallen silent. When all
 * have, it is more likely the operator that is cut off, and it goes on waiting.
 */
function routersOf(
  pods: readonly Pod[],
  reports: RouterReports,
  namespace: string,
  modelUid: string | undefined,
): readonly RouterObserved[] {
  const ready = pods.filter(isReady).map(({ metadata: { name } }) => name);
  const heard = ready.filter((name) => !reports.lost(namespace, name));
  return (heard.length > 0 ? heard : ready).map((name) => {
    const following = modelUid === undefined ? undefined : reports.following(namespace, name, modelUid);
    return { name, ...optional('following', following) };
  });
}
