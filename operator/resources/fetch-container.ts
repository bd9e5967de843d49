import { commands, env, fetchContainerName, paths, serverPorts } from '#contract';
import type { ModelVersion } from '../api/generated/model-version.ts';
import { type ArtifactPolicy, envOf, type ImageConfig, termination } from './images.ts';
import { containerSecurity } from './pod-security.ts';
import { volumes } from './volumes.ts';

export interface FetchMount {
  readonly name: string;
  readonly source: Readonly<Record<string, unknown>>;
  readonly mountPath: string;
  readonly readOnly: boolean;
  /** Tells `fetch` the path. */
  readonly variable: string;
}

/** What only `fetch` gets to see, all of it from the version's own namespace: a pod cannot mount anything else. */
export function fetchMounts({ spec }: ModelVersion, { schemes }: ArtifactPolicy): readonly FetchMount[] {
  const { credentials, uri } = spec.artifact;
  const claim = claimOf(uri);
  return [
    ...(credentials === undefined
      ? []
      : [
          {
            name: volumes.credentials,
            // Where it is missing `fetch` says so, which it could not if the pod waited for it.
            source: { secret: { secretName: credentials.secretName, optional: true } },
            mountPath: paths.credentials,
            readOnly: true,
            variable: env.artifactCredentials,
          },
        ]),
    ...(spec.artifactCache === undefined
      ? []
      : [
          {
            name: volumes.cache,
            source: { persistentVolumeClaim: { claimName: spec.artifactCache.claimName } },
            mountPath: paths.cacheDir,
            readOnly: false,
            variable: env.cacheDir,
          },
        ]),
    // Where the scheme is not allowed, `fetch` says so, which it could not if the pod waited for the claim.
    ...(claim === undefined || !schemes.includes('pvc')
      ? []
      : [
          {
            name: volumes.claim,
            source: { persistentVolumeClaim: { claimName: claim, readOnly: true } },
            mountPath: paths.claimDir,
            readOnly: true,
            variable: env.claimDir,
          },
        ]),
  ];
}

/** The claim of a `pvc:` URI. */
const claimOf = (uri: string): string | undefined => /^pvc:\/\/([^/]+)\//.exec(uri)?.[1];

/** The init container that brings the artifact into the pod and verifies it. */
export function fetchContainer(version: ModelVersion, runtime: ImageConfig, artifacts: ArtifactPolicy) {
  const { artifact, artifactCache } = version.spec;
  const mounts = fetchMounts(version, artifacts);
  const endpoints = Object.entries(artifacts.endpoints).map(([scheme, url]) => `${scheme}=${url}`);
  return {
    name: fetchContainerName,
    image: runtime.image,
    imagePullPolicy: runtime.pullPolicy,
    args: [commands.fetch],
    env: envOf({
      [env.artifactUri]: artifact.uri,
      [env.artifactSha256]: artifact.sha256,
      [env.artifactFiles]: artifact.files === undefined ? undefined : JSON.stringify(artifact.files),
      [env.artifactSchemes]: artifacts.schemes.join(',') || undefined,
      [env.artifactPrivateHosts]: artifacts.privateHosts.join(',') || undefined,
      [env.artifactEndpoints]: endpoints.join(',') || undefined,
      [env.artifactMaxBytes]: String(artifacts.maxBytes),
      // A version that is made anew is another one, and does not get what the cache remembers of the old one.
      [env.artifactOwner]: artifactCache === undefined ? undefined : version.metadata.uid,
      ...Object.fromEntries(mounts.map(({ variable, mountPath }) => [variable, mountPath])),
      [env.modelDir]: paths.modelDir,
      // Not declared as a port: the server, which begins when this has ended, most often has the same one.
      [env.metricsPort]: String(serverPorts.metrics),
      [env.terminationLog]: paths.terminationLog,
      [env.logLevel]: runtime.logLevel,
    }),
    resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { memory: '512Mi' } },
    securityContext: containerSecurity(true),
    ...termination,
    volumeMounts: [
      { name: volumes.model, mountPath: paths.modelDir },
      { name: volumes.tmp, mountPath: paths.tmp },
      ...mounts.map(({ name, mountPath, readOnly }) => ({ name, mountPath, readOnly })),
    ],
  };
}
