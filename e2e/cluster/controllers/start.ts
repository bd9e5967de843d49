/**
 * Stand-ins for kube-controller-manager and kube-scheduler, for clusters that don't have them. They speak only the
 * Kubernetes API, so they work with any API server. One folder or file per controller: a pure `decide`, and thin
 * I/O around it. Nothing in here knows how pods run or which API server it talks to.
 */
import { KubeClient } from '../../../kube-client/client.ts';
import { loadConnection } from '../../../kube-client/connection.ts';
import { scheduler } from '../scheduler/scheduler.ts';
import { deploymentController } from './deployment/controller.ts';
import { disruptionController } from './disruption.ts';
import { endpointSliceController } from './endpointslice/controller.ts';
import { garbageCollector } from './garbage/collector.ts';
import { jobController } from './job/controller.ts';
import { Caches, type Context, type Controller, type Log } from './machinery/context.ts';
import { runControllers } from './machinery/manager.ts';
import { EventRecorder } from './machinery/recorder.ts';
import { namespaceController } from './namespace.ts';
import { defaultGraceMs, nodeLifecycleController } from './node-lifecycle/controller.ts';
import { podGarbageCollector } from './pod-gc.ts';
import { replicaSetController } from './replicaset/controller.ts';
import { serviceAccountController } from './service-account.ts';

export interface ControllersOptions {
  /** Path of a kubeconfig that may do everything. */
  readonly kubeconfig: string;
  /** Certificate (PEM) by which pods know the API server. */
  readonly rootCa: string;
  /** Which of the two to stand in for; both unless told. */
  readonly parts?: readonly ('controllers' | 'scheduler')[];
  /** Silence, in milliseconds, after which a node counts as lost. */
  readonly nodeGraceMs?: number;
  readonly log?: Log;
}

/** Starts them; resolves, once they have seen the whole cluster, to what ends them. */
export async function startControllers(options: ControllersOptions): Promise<() => Promise<void>> {
  const log = options.log ?? (() => {});
  const connection = loadConnection({ kubeconfig: options.kubeconfig });
  const client = new KubeClient(connection, { userAgent: 'sluice-cluster-controllers' });
  const caches = new Caches(client, log);
  const now = () => Date.now();
  const contextOf = (component: string): Context => ({
    client,
    caches,
    now,
    log,
    events: new EventRecorder(client, component, now, log),
  });
  const parts = options.parts ?? ['controllers', 'scheduler'];
  const controllers: Controller[] = [];
  if (parts.includes('controllers')) {
    controllers.push(
      serviceAccountController(contextOf('service-account-controller'), options.rootCa),
      deploymentController(contextOf('deployment-controller')),
      replicaSetController(contextOf('replicaset-controller')),
      jobController(contextOf('job-controller')),
      endpointSliceController(contextOf('endpoint-slice-controller')),
      namespaceController(contextOf('namespace-controller')),
      garbageCollector(contextOf('garbage-collector')),
      nodeLifecycleController(contextOf('node-controller'), options.nodeGraceMs ?? defaultGraceMs),
      podGarbageCollector(contextOf('pod-garbage-collector')),
      disruptionController(contextOf('disruption-controller')),
    );
  }
  if (parts.includes('scheduler')) controllers.push(scheduler(contextOf('default-scheduler')));
  await caches.synced();
  const stop = runControllers(contextOf('controllers'), controllers);
  return async () => {
    await stop();
    await caches.stop();
    await connection.close?.();
  };
}
