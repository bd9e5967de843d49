/** How a candidate fails in the benchmark of rollbacks, and how its failure is brought about. */
import { readdir, readFile } from 'node:fs/promises';
import type { Pod } from '../scenarios/harness/kinds.ts';
import type { Manifest } from '../scenarios/harness/kubectl.ts';
import { drilledServer, type VersionOptions, version } from '../scenarios/harness/manifests.ts';

export interface Case {
  readonly name: string;
  readonly version: string;
  readonly candidate: Manifest;
  /** Ready pods, of two, with which the version still keeps its traffic. */
  readonly minReady: number;
  /** The reason that the version must be latched with; any of them. */
  readonly reasons: readonly string[];
  /** Makes it fail; absent where it fails by itself a while after its start. */
  readonly strike?: (pods: readonly Pod[]) => Promise<void>;
}

/** Long enough for both pods to be ready and to have traffic before the first of them fails. */
const drillAfter = '5s';

const drilled = (
  action: 'unready' | 'wrong',
  probes: NonNullable<VersionOptions['spec']>['probes'] = {},
): VersionOptions['spec'] => ({
  server: { gracePeriod: '5s', ...drilledServer(`${action}-after=${drillAfter}`) },
  probes: { readiness: { period: '1s', failureThreshold: 1 }, ...probes },
});

/** Silence: a right answer says that there is no speech. */
const golden = [
  {
    inputs: [
      { name: 'input', datatype: 'FP32', shape: [1, 576], fill: 0 },
      { name: 'state', datatype: 'FP32', shape: [2, 1, 128], fill: 0 },
      { name: 'sr', datatype: 'INT64', shape: [], data: [16_000] },
    ],
    expect: [{ name: 'output', min: 0, max: 0.3 }],
  },
] as const;

const candidate = (name: string, spec: VersionOptions['spec']): Manifest =>
  version({ version: name, weights: 'v6', spec: { replicas: 2, ...spec } });

export const cases = {
  probe: {
    name: 'readiness probe fails',
    version: '6.0.0',
    candidate: candidate('6.0.0', drilled('unready')),
    // By default half of the pods must be ready.
    minReady: 1,
    reasons: ['ReadinessLost'],
  },
  kill: {
    name: 'kill -9 of all pods',
    version: '6.1.0',
    candidate: candidate('6.1.0', { server: { gracePeriod: '5s' } }),
    minReady: 1,
    reasons: ['ReadinessLost', 'CrashLoop'],
    strike: kill,
  },
  golden: {
    name: 'golden mismatch',
    // The request file of the load knows what this version must answer.
    version: '7.0.0',
    candidate: candidate('7.0.0', drilled('wrong', { golden, goldenPeriod: '1s' })),
    // One wrong answer of one pod is enough.
    minReady: 2,
    reasons: ['GoldenMismatch'],
  },
} as const satisfies Record<string, Case>;

/** Ends the servers of pods as a kernel would. Works where pods are processes of this machine. */
async function kill(pods: readonly Pod[]): Promise<void> {
  const wanted = new Set(pods.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`));
  let killed = 0;
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    // Processes come and go, and those of other users cannot be read.
    const text = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
    const variables = new Map(text.split('\0').map((line) => line.split('=', 2) as [string, string]));
    if (!wanted.has(`${variables.get('POD_NAMESPACE')}/${variables.get('POD_NAME')}`)) continue;
    process.kill(Number(pid), 'SIGKILL');
    killed += 1;
  }
  if (killed < pods.length) throw new Error(`found ${killed} processes of ${pods.length} pods to kill`);
}
