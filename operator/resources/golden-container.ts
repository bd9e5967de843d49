import { commands, env, goldenPort, paths } from '#contract';
import { wholeSeconds } from '../api/duration.ts';
import type { ModelVersion } from '../api/generated/model-version.ts';
import { envOf, type ImageConfig, termination } from './images.ts';
import { containerSecurity } from './pod-security.ts';

/**
 * The golden sidecar, for versions that have golden requests: one for every server, whoever made it. The pod is
 * ready only while the answers are right.
 */
export function goldenContainers({ spec }: ModelVersion, runtime: ImageConfig) {
  const { golden, goldenPeriod, protocol, startup } = spec.probes;
  if (golden === undefined || golden.length === 0) return [];
  const ready = { httpGet: { path: '/readyz', port: 'golden', scheme: 'HTTP' }, timeoutSeconds: 2 };
  return [
    {
      name: 'golden',
      image: runtime.image,
      imagePullPolicy: runtime.pullPolicy,
      args: [commands.golden],
      env: envOf({
        [env.model]: spec.model,
        [env.goldenRequests]: JSON.stringify(golden),
        [env.goldenPeriod]: goldenPeriod,
        [env.goldenProtocol]: protocol,
        [env.httpPort]: String(spec.server.ports.http),
        [env.grpcPort]: String(spec.server.ports.grpc),
        [env.terminationLog]: paths.terminationLog,
        [env.logLevel]: runtime.logLevel,
      }),
      ports: [{ name: 'golden', containerPort: goldenPort, protocol: 'TCP' }],
      resources: { requests: { cpu: '10m', memory: '48Mi' }, limits: { memory: '192Mi' } },
      securityContext: containerSecurity(true),
      ...termination,
      startupProbe: { ...ready, periodSeconds: 1, failureThreshold: wholeSeconds(startup.deadline) },
      readinessProbe: { ...ready, periodSeconds: 2, failureThreshold: 1 },
    },
  ];
}
