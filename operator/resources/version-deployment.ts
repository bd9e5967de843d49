import { wholeSeconds } from '../api/duration.ts';
import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { ModelVersion } from '../api/generated/model-version.ts';
import type { DesiredObject } from '../api/kubernetes.ts';
import { contentLabel } from '../api/labels.ts';
import { fetchContainer, fetchMounts } from './fetch-container.ts';
import { goldenContainers } from './golden-container.ts';
import type { ArtifactPolicy } from './images.ts';
import { controlledBy, versionLabels, versionSelector } from './metadata.ts';
import { versionChildName } from './names.ts';
import { podSecurity } from './pod-security.ts';
import { foreignDrainSeconds, type ServerConfig, serverContainer } from './server-container.ts';
import { volumes } from './volumes.ts';

export interface VersionWorkload {
  readonly version: ModelVersion;
  readonly contentHash: string;
  readonly replicas: number;
  readonly pool?: GPUPool;
}

export interface VersionConfig extends ServerConfig {
  readonly artifacts: ArtifactPolicy;
}

/** The Deployment of a version: an init container that fetches and verifies the artifact, and the server. */
export function versionDeployment(
  { version, contentHash, replicas, pool }: VersionWorkload,
  config: VersionConfig,
): DesiredObject {
  const { spec, metadata } = version;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: versionChildName(metadata.name),
      namespace: metadata.namespace!,
      labels: versionLabels(version),
      ownerReferences: controlledBy(version),
    },
    spec: {
      replicas,
      revisionHistoryLimit: 2,
      progressDeadlineSeconds: Math.max(60, wholeSeconds(spec.probes.startup.deadline) + 30),
      selector: { matchLabels: versionSelector(version) },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: {
          labels: { ...versionLabels(version), [contentLabel]: contentHash },
          annotations: { 'kubectl.kubernetes.io/default-container': 'server' },
        },
        spec: podSpec(version, pool, config),
      },
    },
  };
}

function podSpec(version: ModelVersion, pool: GPUPool | undefined, config: VersionConfig) {
  const { spec } = version;
  const { priorityClassName } = spec.placement;
  const tolerations = pool?.spec.tolerations;
  const pullSecrets = config.runtime.pullSecrets.map((name) => ({ name }));
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: podSecurity,
    terminationGracePeriodSeconds:
      wholeSeconds(spec.server.gracePeriod) + (spec.server.image === undefined ? 0 : foreignDrainSeconds),
    ...(pullSecrets.length === 0 ? {} : { imagePullSecrets: pullSecrets }),
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
    ...(pool?.spec.runtimeClassName === undefined ? {} : { runtimeClassName: pool.spec.runtimeClassName }),
    ...(pool?.spec.nodeSelector === undefined ? {} : { nodeSelector: pool.spec.nodeSelector }),
    ...(tolerations === undefined || tolerations.length === 0 ? {} : { tolerations }),
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: versionSelector(version) },
      },
    ],
    initContainers: [fetchContainer(version, config.runtime, config.artifacts)],
    containers: [serverContainer(version, pool, config), ...goldenContainers(version, config.runtime)],
    volumes: [
      { name: volumes.model, emptyDir: {} },
      { name: volumes.tmp, emptyDir: {} },
      ...fetchMounts(version, config.artifacts).map(({ name, source }) => ({ name, ...source })),
    ],
  };
}
