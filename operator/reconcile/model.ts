/** A model and all its versions: gather, decide, apply, report. */

import type { ModelVersion } from '../api/generated/model-version.ts';
import { isOwnedBy, type KubernetesObject } from '../api/kubernetes.ts';
import { decideModel, type ModelDecision } from '../decide/model.ts';
import type { ModelObserved } from '../decide/observed.ts';
import { isSameGiving } from '../decide/roles.ts';
import { modelRoute } from '../resources/gateway-routes.ts';
import { implicitModel } from '../resources/model.ts';
import { versionChildName } from '../resources/names.ts';
import { modelService, versionService } from '../resources/services.ts';
import { type VersionConfig, versionDeployment } from '../resources/version-deployment.ts';
import { EvidenceBook } from './evidence-book.ts';
import { type Books, gatherModel } from './gather.ts';
import { PortBook } from './port-book.ts';
import { type Ports, Rejected } from './ports.ts';

/** What a reconcile tells its controller. */
export interface Outcome {
  readonly requeueAfterMs?: number;
}

/** What the API server said of what it refused last: workloads by name of their ModelVersion, routes by kind. */
type Rejections = ReadonlyMap<string, string>;

/** Reconciles the model of a key `namespace/name`, whether or not a Model of that name exists yet. */
export function modelReconciler(world: Ports, config: VersionConfig): (key: string) => Promise<Outcome> {
  const books: Books = { ports: new PortBook(), evidence: new EvidenceBook(), started: new Map() };
  const rejections = new Map<string, Rejections>();
  return async (key) => {
    const [namespace = '', name = ''] = key.split('/');
    const gather = () => gatherModel(world, books, namespace, name, rejections.get(key));
    const observed = gather();
    if (observed.model === undefined && observed.versions.length === 0) {
      books.ports.release(namespace, name);
      books.evidence.forget(key);
      books.started.delete(key);
      rejections.delete(key);
      return {};
    }
    const decision = decideModel(observed, world.now());
    await publish(world, observed, decision);
    const noted = await noteRoomGiven(world, decision);
    const rejected = await applyChildren(world, observed, decision, config);
    const known = rejections.get(key);
    rejections.set(key, rejected);
    const last = sameRejections(known, rejected) ? decision : decideModel(gather(), world.now());
    const outcome = await report(world, last, last === decision ? noted : new Set());
    books.started.set(key, startedOf(last));
    return outcome;
  };
}

/**
 * The Model's status comes first. It is what routers follow, so a failed version loses its traffic before anything
 * else is done; and since it may only be written over what was read, an operator that saw the past stops here.
 */
async function publish(
  { writer }: Ports,
  { model, namespace, name }: ModelObserved,
  decision: ModelDecision,
) {
  if (decision.implicit === 'create') await writer.create(implicitModel(namespace, name));
  if (model === undefined) return;
  if (decision.implicit === 'delete') await writer.delete(model);
  else if (decision.modelStatus !== undefined) await writer.writeStatus(model, decision.modelStatus);
}

/**
 * Writes the statuses of versions that give up pods for others before they lose them: to whom they gave way is nowhere else. The
 * versions of which it was written.
 */
async function noteRoomGiven({ writer }: Ports, decision: ModelDecision): Promise<ReadonlySet<ModelVersion>> {
  const giving = [...decision.versionStatuses].filter(
    ([version, { gaveWay }]) => gaveWay !== undefined && !isSameGiving(gaveWay, version.status?.gaveWay),
  );
  for (const [version, status] of giving) await writer.writeStatus(version, status);
  return new Set(giving.map(([version]) => version));
}

/**
 * Applies the children: a version's before the routes that name it, an endpoint that is to be before one that is to go, and
 * what is to go last. Answers what the API server refused, and what it said.
 */
async function applyChildren(
  world: Ports,
  observed: ModelObserved,
  { workloads, released, endpoint }: ModelDecision,
  config: VersionConfig,
): Promise<Rejections> {
  const { writer, views } = world;
  const rejected = new Map<string, string>();
  const attempt = async (name: string, write: () => Promise<void>): Promise<void> => {
    try {
      await write();
    } catch (error) {
      if (!(error instanceof Rejected)) throw error;
      rejected.set(name, error.message);
    }
  };
  for (const workload of workloads) {
    const version = workload.version.metadata.name;
    const key = `${observed.namespace}/${versionChildName(version)}`;
    await attempt(version, async () => {
      await writer.apply(versionDeployment(workload, config), views.deployments.get(key));
      await writer.apply(versionService(workload.version), views.services.get(key));
    });
  }
  const { model, namespace, name } = observed;
  const service = views.services.get(`${namespace}/${name}`);
  if (model !== undefined && endpoint !== undefined) {
    if (typeof endpoint.service === 'object')
      await writer.apply(modelService(model, endpoint.service.port), service);
    for (const [kind, plan] of endpoint.routes) {
      const versions = observed.versions.map(({ object }) => object);
      const route = modelRoute({ ...endpoint, model, kind, plan, versions });
      await attempt(kind, () => writer.apply(route, observed.gatewayRoutes[kind].route));
    }
    for (const route of endpoint.obsolete) await writer.delete(route);
    if (endpoint.service === 'none') await deleteOwn(writer, service, model);
  }
  for (const version of released) {
    const key = `${namespace}/${versionChildName(version.metadata.name)}`;
    for (const child of [views.deployments.get(key), views.services.get(key)])
      await deleteOwn(writer, child, version);
  }
  return rejected;
}

async function deleteOwn(
  writer: Ports['writer'],
  child: KubernetesObject | undefined,
  owner: KubernetesObject,
): Promise<void> {
  if (child !== undefined && isOwnedBy(child, owner.metadata.uid ?? '')) await writer.delete(child);
}

/**
 * Writes the versions' statuses, then tells what happened, then says when to come back. It is told whatever becomes of the
 * statuses: the next visit, which reads what has been written of them, would not tell it.
 *
 * @param written versions whose statuses have been written
 */
async function report(
  { writer, events }: Ports,
  decision: ModelDecision,
  written: ReadonlySet<ModelVersion>,
): Promise<Outcome> {
  try {
    for (const [version, status] of decision.versionStatuses)
      if (!written.has(version)) await writer.writeStatus(version, status);
  } finally {
    for (const event of decision.events) events.emit(event);
  }
  return decision.requeueAfterMs === undefined ? {} : { requeueAfterMs: decision.requeueAfterMs };
}

const startedOf = ({ versionStatuses }: ModelDecision) =>
  new Map(
    [...versionStatuses].flatMap(([{ metadata }, { server }]) =>
      server === undefined ? [] : [[metadata.uid ?? '', server] as const],
    ),
  );

const sameRejections = (a: Rejections = new Map(), b: Rejections): boolean =>
  a.size === b.size && [...a].every(([version, message]) => b.get(version) === message);
