/** A model and all its versions: gather, decide, apply, report. */

import type { DesiredObject } from '../api/kubernetes.ts';
import { decideModel, type ModelDecision } from '../decide/model.ts';
import type { ModelObserved } from '../decide/observed.ts';
import { implicitModel } from '../resources/model.ts';
import { versionChildName } from '../resources/names.ts';
import { modelService, versionService } from '../resources/services.ts';
import { type VersionConfig, versionDeployment } from '../resources/version-deployment.ts';
import { EvidenceBook } from './evidence-book.ts';
import { gatherModel } from './gather.ts';
import { PortBook } from './port-book.ts';
import { type Ports, Rejected } from './ports.ts';

/** What a reconcile tells its controller. */
export interface Outcome {
  readonly requeueAfterMs?: number;
}

/** What the API server said of the workloads that it refused last, by name of the ModelVersion. */
type Rejections = ReadonlyMap<string, string>;

/** Reconciles the model of a key `namespace/name`, whether or not a Model of that name exists yet. */
export function modelReconciler(world: Ports, config: VersionConfig): (key: string) => Promise<Outcome> {
  const books = { ports: new PortBook(), evidence: new EvidenceBook() };
  const rejections = new Map<string, Rejections>();
  return async (key) => {
    const [namespace = '', name = ''] = key.split('/');
    const gather = () => gatherModel(world, books, namespace, name, rejections.get(key));
    const observed = gather();
    if (observed.model === undefined && observed.versions.length === 0) {
      books.ports.release(namespace, name);
      books.evidence.forget(key);
      rejections.delete(key);
      return {};
    }
    const decision = decideModel(observed, world.now());
    await publish(world, observed, decision);
    const rejected = await applyChildren(world, observed, decision, config);
    const known = rejections.get(key);
    rejections.set(key, rejected);
    return report(world, sameRejections(known, rejected) ? decision : decideModel(gather(), world.now()));
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

/** Applies the children; answers which workloads the API server refused, and what it said. */
async function applyChildren(
  { writer, views }: Ports,
  { model, namespace, name }: ModelObserved,
  { workloads, servicePort }: ModelDecision,
  config: VersionConfig,
): Promise<Rejections> {
  const rejected = new Map<string, string>();
  for (const workload of workloads) {
    const version = workload.version.metadata.name;
    const key = `${namespace}/${versionChildName(version)}`;
    try {
      await writer.apply(versionDeployment(workload, config), views.deployments.get(key));
      await writer.apply(versionService(workload.version), views.services.get(key));
    } catch (error) {
      if (!(error instanceof Rejected)) throw error;
      rejected.set(version, error.message);
    }
  }
  if (model !== undefined && servicePort !== undefined) {
    const service: DesiredObject = modelService(model, servicePort);
    await writer.apply(service, views.services.get(`${namespace}/${name}`));
  }
  return rejected;
}

/** Writes the versions' statuses, then tells what happened, then says when to come back. */
async function report({ writer, events }: Ports, decision: ModelDecision): Promise<Outcome> {
  for (const [version, status] of decision.versionStatuses) await writer.writeStatus(version, status);
  for (const event of decision.events) events.emit(event);
  return decision.requeueAfterMs === undefined ? {} : { requeueAfterMs: decision.requeueAfterMs };
}

const sameRejections = (a: Rejections = new Map(), b: Rejections): boolean =>
  a.size === b.size && [...a].every(([version, message]) => b.get(version) === message);
