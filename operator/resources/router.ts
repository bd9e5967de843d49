/** The data plane of a namespace: one Deployment for all its Models, which owns nothing outside that namespace. */

import { commands, env, paths, routerPorts } from '#contract';
import type { Model } from '../api/generated/model.ts';
import type { DesiredObject } from '../api/kubernetes.ts';
import { envOf, fieldEnv, type ImageConfig, type Resources, termination } from './images.ts';
import { managedBy, ownedBy } from './metadata.ts';
import { routerName } from './names.ts';
import { containerSecurity, podSecurity } from './pod-security.ts';

export interface RouterConfig {
  readonly runtime: ImageConfig;
  readonly replicas: number;
  readonly resources: Resources;
  /** Seconds that a stopping router has for requests under way. */
  readonly graceSeconds: number;
  /** The ClusterRole that routers are bound to in their namespace; the chart installs it. */
  readonly clusterRole: string;
}

/** Selects the router pods of a namespace. */
export const routerSelector = {
  'app.kubernetes.io/name': routerName,
  'app.kubernetes.io/managed-by': 'sluice',
} as const;

/**
 * Everything a namespace's router consists of. It belongs to all Models of the namespace together, so the garbage
 * collector takes it away with the last of them.
 */
export function routerObjects(
  namespace: string,
  models: readonly Model[],
  config: RouterConfig,
): readonly DesiredObject[] {
  const metadata = {
    name: routerName,
    namespace,
    labels: { ...managedBy, ...routerSelector, 'app.kubernetes.io/component': 'router' },
    ownerReferences: ownedBy(models),
  };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: config.clusterRole },
      subjects: [{ kind: 'ServiceAccount', name: routerName, namespace }],
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata,
      spec: { maxUnavailable: 1, selector: { matchLabels: routerSelector } },
    },
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec: deploymentSpec(config) },
  ];
}

function deploymentSpec(config: RouterConfig) {
  return {
    replicas: config.replicas,
    revisionHistoryLimit: 2,
    selector: { matchLabels: routerSelector },
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: {
      metadata: { labels: { ...managedBy, ...routerSelector, 'app.kubernetes.io/component': 'router' } },
      spec: podSpec(config),
    },
  };
}

function podSpec({ runtime, resources, graceSeconds }: RouterConfig) {
  const admin = { port: 'admin', scheme: 'HTTP' };
  const pullSecrets = runtime.pullSecrets.map((name) => ({ name }));
  return {
    serviceAccountName: routerName,
    automountServiceAccountToken: true,
    enableServiceLinks: false,
    securityContext: podSecurity,
    terminationGracePeriodSeconds: graceSeconds,
    ...(pullSecrets.length === 0 ? {} : { imagePullSecrets: pullSecrets }),
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: routerSelector },
      },
    ],
    containers: [
      {
        name: 'router',
        image: runtime.image,
        imagePullPolicy: runtime.pullPolicy,
        args: [commands.route],
        env: [
          ...envOf({
            [env.routerDir]: paths.routerDir,
            [env.terminationLog]: paths.terminationLog,
            [env.gracePeriod]: String(graceSeconds),
            [env.logLevel]: runtime.logLevel,
          }),
          fieldEnv(env.podName, 'metadata.name'),
          fieldEnv(env.podNamespace, 'metadata.namespace'),
        ],
        ports: [
          { name: 'telemetry', containerPort: routerPorts.telemetry, protocol: 'TCP' },
          { name: 'admin', containerPort: routerPorts.admin, protocol: 'TCP' },
        ],
        resources,
        securityContext: containerSecurity(true),
        ...termination,
        startupProbe: {
          httpGet: { path: '/readyz', ...admin },
          periodSeconds: 1,
          timeoutSeconds: 2,
          failureThreshold: 120,
        },
        readinessProbe: {
          httpGet: { path: '/readyz', ...admin },
          periodSeconds: 2,
          timeoutSeconds: 2,
          failureThreshold: 2,
        },
        livenessProbe: {
          httpGet: { path: '/healthz', ...admin },
          periodSeconds: 10,
          timeoutSeconds: 5,
          failureThreshold: 6,
        },
        volumeMounts: [
          { name: 'router', mountPath: paths.routerDir },
          { name: 'tmp', mountPath: paths.tmp },
        ],
      },
    ],
    volumes: [
      { name: 'router', emptyDir: {} },
      { name: 'tmp', emptyDir: {} },
    ],
  };
}
