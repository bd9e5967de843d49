/** The chart as Helm renders it: what a cluster's administrator may rely on, without a cluster. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual, promisify } from 'node:util';
import { parse, parseAllDocuments } from 'yaml';
import { labels, routerPorts } from '#contract';
import { clients } from '../tools/tools.ts';

const run = promisify(execFile);
const chart = fileURLToPath(new URL('../../charts/sluice', import.meta.url));
let helm = '';
before(async () => {
  ({ helm } = await clients());
});

interface Rendered {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly rules?: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly resourceNames?: readonly string[];
    readonly verbs: readonly string[];
  }[];
  readonly spec?: Record<string, unknown>;
}

async function render(...args: string[]): Promise<Rendered[]> {
  const { stdout } = await run(helm, ['template', 'sluice', chart, '--namespace', 'system', ...args]);
  return parseAllDocuments(stdout).map((document) => document.toJS() as Rendered);
}

const named = (objects: readonly Rendered[], kind: string, name: string) => {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  assert.ok(found, `${kind} ${name} is rendered`);
  return found;
};

interface PodSpec {
  readonly securityContext: Record<string, unknown>;
  readonly containers: readonly {
    readonly image: string;
    readonly args: readonly string[];
    readonly securityContext: Record<string, unknown>;
  }[];
}

async function podSpec(...args: string[]): Promise<PodSpec> {
  const { spec } = named(await render(...args), 'Deployment', 'sluice-operator');
  return (spec as { template: { spec: PodSpec } }).template.spec;
}

test('the operator meets Pod Security restricted, with a read-only root file system', async () => {
  const { securityContext, containers } = await podSpec();
  assert.equal(securityContext['runAsNonRoot'], true);
  assert.deepEqual(securityContext['seccompProfile'], { type: 'RuntimeDefault' });
  for (const { securityContext: container } of containers) {
    assert.equal(container['allowPrivilegeEscalation'], false);
    assert.equal(container['readOnlyRootFilesystem'], true);
    assert.deepEqual(container['capabilities'], { drop: ['ALL'] });
  }
});

test('the operator may not read Secrets, run commands in pods, change specs of users or hand out other roles', async () => {
  const { rules = [] } = named(await render(), 'ClusterRole', 'sluice-operator');
  const allowed = (group: string, resource: string, verb: string) =>
    rules.some(
      ({ apiGroups, resources, verbs }) =>
        [group, '*'].some((each) => apiGroups.includes(each)) &&
        [resource, '*'].some((each) => resources.includes(each)) &&
        [verb, '*'].some((each) => verbs.includes(each)),
    );
  assert.ok(allowed('', 'pods', 'watch'));
  for (const [group, resource, verb] of [
    ['', 'secrets', 'get'],
    ['', 'secrets', 'list'],
    ['', 'pods/exec', 'create'],
    ['', 'nodes', 'patch'],
    ['', 'services', 'get'],
    ['apps', 'deployments', 'update'],
    ['discovery.k8s.io', 'endpointslices', 'list'],
    ['gateway.networking.k8s.io', 'gateways', 'list'],
    ['sluice.dev', 'modelversions', 'patch'],
    ['sluice.dev', 'modelversions', 'update'],
    ['sluice.dev', 'gpupools', 'patch'],
    ['rbac.authorization.k8s.io', 'clusterroles', 'create'],
    ['rbac.authorization.k8s.io', 'clusterrolebindings', 'create'],
    ['rbac.authorization.k8s.io', 'roles', 'create'],
  ] as const) {
    assert.equal(allowed(group, resource, verb), false, `${verb} ${resource}`);
  }
  const bind = rules.filter(({ verbs }) => verbs.includes('bind') || verbs.includes('escalate'));
  assert.deepEqual(
    bind.map(({ resources, resourceNames }) => [resources, resourceNames]),
    [[['clusterroles'], ['sluice-router']]],
  );
});

test('images are named by digest, else by tag, else by the chart', async () => {
  const imageOf = async (...args: string[]) => (await podSpec(...args)).containers[0]?.image;
  const digest = `sha256:${'a'.repeat(64)}`;
  assert.equal(await imageOf(), 'sluice/operator:0.1.0');
  assert.equal(await imageOf('--set=operator.image.tag=1.2'), 'sluice/operator:1.2');
  assert.equal(
    await imageOf('--set=operator.image.tag=1.2', `--set=operator.image.digest=${digest}`),
    `sluice/operator@${digest}`,
  );
});

test('a budget keeps one of two replicas, and there is none for a single one', async () => {
  const budgets = async (replicas: number) =>
    (await render(`--set=operator.replicas=${replicas}`)).filter(({ kind }) => kind === 'PodDisruptionBudget')
      .length;
  assert.deepEqual([await budgets(1), await budgets(2)], [0, 1]);
});

test('everything that is optional renders', async () => {
  const objects = await render(
    '--set=metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true,networkPolicy.enabled=true',
    '--set=networkPolicy.metricsFrom={monitoring},imagePullSecrets[0].name=pull',
    '--set=commonLabels.team=ml,commonAnnotations.note=x,operator.podLabels.a=b,artifacts.privateHosts={10.0.0.1:80},artifacts.endpoints.s3=https://store:9000,artifacts.maxSize=1Gi',
    '--set=operator.priorityClassName=high,operator.nodeSelector.a=b',
  );
  for (const [kind, name] of [
    ['ServiceMonitor', 'sluice-operator'],
    ['PodMonitor', 'sluice-data-plane'],
    ['NetworkPolicy', 'sluice-operator'],
  ] as const) {
    assert.equal(named(objects, kind, name).metadata.labels?.['team'], 'ml');
  }
});

test('the operator may reach what it asks: routers, and versions on whatever port they say', async () => {
  const objects = await render('--set=networkPolicy.enabled=true');
  const { egress } = named(objects, 'NetworkPolicy', 'sluice-operator').spec as { egress: object[] };
  const anywhere = { namespaceSelector: {} };
  const versions = { matchExpressions: [{ key: labels.version, operator: 'Exists' }] };
  for (const rule of [
    { to: [anywhere], ports: [{ port: routerPorts.telemetry, protocol: 'TCP' }] },
    { to: [{ ...anywhere, podSelector: versions }] },
  ])
    assert.ok(
      egress.some((other) => isDeepStrictEqual(other, rule)),
      JSON.stringify(egress),
    );
});

const refused: readonly [string, RegExp][] = [
  ['operator.replica=3', /'replica' not allowed/],
  ['operator.replicas=many', /got string, want integer/],
  ['operator.logLevel=loud', /must be one of/],
  ['artifacts.schemes={ftp}', /must be one of/],
  ['operator.leaderElection.leaseDuration=15', /want string|does not match/],
  ['runtime.image.digest=abc', /does not match pattern/],
];
for (const [value, reason] of refused) {
  test(`values with ${value} are refused`, async () => {
    await assert.rejects(render(`--set=${value}`), ({ stderr }: { stderr: string }) => reason.test(stderr));
  });
}

/** Paths of all values that are no objects; what users fill in freely counts as one value. */
function leaves(value: unknown, path = ''): string[] {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject || Object.keys(value).length === 0) return [path];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, path === '' ? key : `${path}.${key}`));
}

interface Schema {
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly definitions?: Readonly<Record<string, Schema>>;
}

test('every value has a default, and every default is in the schema', async () => {
  const values: unknown = parse(await readFile(`${chart}/values.yaml`, 'utf8'));
  const schema = JSON.parse(await readFile(`${chart}/values.schema.json`, 'utf8')) as Schema;
  const resolve = ({ $ref, ...rest }: Schema): Schema =>
    $ref === undefined ? rest : schema.definitions![$ref.split('/').at(-1)!]!;
  const inSchema = (at: Schema, path = ''): string[] => {
    const { properties } = resolve(at);
    if (properties === undefined) return [path];
    return Object.entries(properties).flatMap(([key, inner]) =>
      inSchema(inner, path === '' ? key : `${path}.${key}`),
    );
  };
  const known = inSchema(schema).filter((path) => path !== 'global');
  const given = leaves(values);
  // What users fill in freely (labels, quantities) is one value in the schema and may hold several defaults.
  assert.deepEqual(
    known.filter((path) => !given.some((each) => each === path || each.startsWith(`${path}.`))),
    [],
  );
  assert.deepEqual(
    given.filter((path) => !known.some((each) => each === path || path.startsWith(`${each}.`))),
    [],
  );
});

test('the operator may touch nothing of the Gateway API; routes, and nothing else, when that is on', async () => {
  const rulesFor = async (...args: string[]) =>
    (named(await render(...args), 'ClusterRole', 'sluice-operator').rules ?? []).filter(({ apiGroups }) =>
      apiGroups.includes('gateway.networking.k8s.io'),
    );
  const on = '--set=gatewayApi.enabled=true';
  assert.deepEqual(await rulesFor(), []);
  assert.deepEqual(
    (await rulesFor(on)).map(({ resources }) => resources),
    [['httproutes', 'grpcroutes']],
  );
  assert.ok((await podSpec()).containers[0]?.args.includes('--gateway-api=false'));
  assert.ok((await podSpec(on)).containers[0]?.args.includes('--gateway-api=true'));
});
