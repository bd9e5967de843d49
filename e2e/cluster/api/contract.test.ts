/** The contract: what the real kubectl and Helm do against this server is what they do against Kubernetes. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { clients } from '../../tools/tools.ts';
import { startTestServer, type TestServer } from './testing.ts';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

let server: TestServer;
let folder: string;
let kubectl: (args: string, input?: string) => Promise<Ran>;
let helm: (args: string) => Promise<Ran>;

function runner(program: string, environment: NodeJS.ProcessEnv) {
  return (args: string, input?: string): Promise<Ran> =>
    new Promise((resolve) => {
      const child = execFile(
        program,
        args.split(' '),
        { env: environment, timeout: 60_000 },
        (error, out, err) => resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
      );
      child.stdin?.end(input ?? '');
    });
}

before(async () => {
  const programs = await clients();
  server = await startTestServer();
  folder = await mkdtemp(join(tmpdir(), 'contract-'));
  const environment = { KUBECONFIG: server.adminKubeconfig, HOME: folder, PATH: process.env['PATH'] };
  kubectl = runner(programs.kubectl, environment);
  helm = runner(programs.helm, environment);
});
after(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const manifest = (replicas: number, image: string) => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "${image}", ports: [{containerPort: 80}]}]}
`;

async function ok(run: Promise<Ran>): Promise<string> {
  const { code, out, err } = await run;
  assert.equal(code, 0, err);
  return out;
}

describe('kubectl', () => {
  test('finds its way: version, discovery, explain, who am I', async () => {
    assert.match(await ok(kubectl('version')), /Server Version: v1\.36/);
    assert.match(await ok(kubectl('api-resources')), /deployments +deploy +apps\/v1 +true +Deployment/);
    assert.match(
      await ok(kubectl('explain deployment.spec.strategy')),
      /rollingUpdate\s+<RollingUpdateDeployment>/,
    );
    assert.match(await ok(kubectl('auth whoami')), /kubernetes-admin/);
    assert.equal((await ok(kubectl('auth can-i create pods'))).trim(), 'yes');
    assert.equal((await kubectl('auth can-i create pods --as nobody')).out.trim(), 'no');
  });

  test('applies, shows differences, and applies again', async () => {
    assert.match(await ok(kubectl('apply -f -', manifest(2, 'x:1'))), /web created/);
    assert.match(await ok(kubectl('apply -f -', manifest(2, 'x:1'))), /web unchanged/);
    const difference = await kubectl('diff -f -', manifest(3, 'x:1'));
    assert.equal(difference.code, 1);
    assert.match(difference.out, /- {2}replicas: 2\n\+ {2}replicas: 3/);
    assert.match(await ok(kubectl('apply -f -', manifest(3, 'x:2'))), /web configured/);
    const shown = await ok(
      kubectl('get deploy web -o jsonpath={.spec.replicas}/{.spec.template.spec.containers[0].image}'),
    );
    assert.equal(shown, '3/x:2');
  });

  test('server-side apply names conflicts, and forces them', async () => {
    const conflict = await kubectl('apply --server-side --field-manager other -f -', manifest(4, 'x:2'));
    assert.equal(conflict.code, 1);
    assert.match(
      conflict.err,
      /Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps\/v1: \.spec\.replicas/,
    );
    const forced = kubectl(
      'apply --server-side --field-manager other --force-conflicts -f -',
      manifest(4, 'x:2'),
    );
    assert.match(await ok(forced), /serverside-applied/);
  });

  test('patches, scales, labels and restarts', async () => {
    await ok(kubectl('scale deploy web --replicas 5'));
    await ok(kubectl('set image deploy/web c=x:3'));
    await ok(kubectl('label deploy web tier=front'));
    await ok(kubectl('annotate deploy web note=hello'));
    await ok(kubectl('rollout restart deploy web'));
    const operations = '[{"op":"add","path":"/spec/paused","value":true}]';
    await ok(kubectl(`patch deploy web --type json -p ${operations}`));
    await ok(kubectl('patch deploy web --type merge -p {"spec":{"minReadySeconds":3}}'));
    await ok(
      kubectl('patch deploy web -p {"spec":{"template":{"spec":{"containers":[{"name":"c","tty":true}]}}}}'),
    );
    const shown = await ok(kubectl('get deploy web -o json'));
    const { metadata, spec } = JSON.parse(shown) as {
      metadata: { labels: object; annotations: object };
      spec: { replicas: number; paused: boolean };
    };
    assert.equal(spec.replicas, 5);
    assert.equal(spec.paused, true);
    assert.deepEqual(metadata.labels, { app: 'web', tier: 'front' });
  });

  test('prints tables, describes, and waits', async () => {
    assert.match(
      await ok(kubectl('get deploy,svc -o wide')),
      /deployment\.apps\/web +0\/5 +0 +0 +\S+ +c +x:3 +app=web/,
    );
    assert.match(await ok(kubectl('describe deploy web')), /Replicas: +5 desired/);
    assert.match(
      await ok(kubectl('wait deploy/web --for=jsonpath={.spec.replicas}=5 --timeout=5s')),
      /condition met/,
    );
    const missing = await kubectl('wait deploy/web --for=condition=Available --timeout=1s');
    assert.match(missing.err, /timed out waiting for the condition/);
  });

  test('creates by its typed clients, which write protobuf', async () => {
    await ok(kubectl('create namespace made'));
    await ok(kubectl('create configmap c -n made --from-literal=a=b'));
    await ok(kubectl('create secret generic s -n made --from-literal=a=b'));
    await ok(kubectl('create serviceaccount default -n made'));
    await ok(kubectl('create deployment d -n made --image=x --replicas=0'));
    assert.equal(await ok(kubectl('get deploy d -n made -o jsonpath={.spec.replicas}')), '0');
    assert.match(await ok(kubectl('create token default -n made')), /^[\w-]+\.[\w-]+\.[\w-]+$/m);
  });

  test('refuses a misspelt field, and says which', async () => {
    const refused = await kubectl('apply -f -', manifest(1, 'x').replace('replicas', 'replikas'));
    assert.equal(refused.code, 1);
    assert.match(refused.err, /strict decoding error: unknown field "spec\.replikas"/);
  });

  test('knows that a kind is missing', async () => {
    const refused = await kubectl('apply -f -', 'apiVersion: nope.dev/v1\nkind: Nope\nmetadata: {name: x}\n');
    assert.match(refused.err, /no matches for kind "Nope" in version "nope.dev\/v1"/);
  });

  test('deletes and waits until it is gone', async () => {
    assert.match(await ok(kubectl('delete deploy web --timeout=10s')), /"web" deleted/);
    assert.match((await kubectl('get deploy web')).err, /deployments\.apps "web" not found/);
  });
});

describe('Helm', () => {
  test('installs, upgrades, rolls back, lists and uninstalls a chart with its CRD', async () => {
    const chart = join(folder, 'chart');
    await mkdir(join(chart, 'templates'), { recursive: true });
    await mkdir(join(chart, 'crds'));
    await writeFile(join(chart, 'Chart.yaml'), 'apiVersion: v2\nname: chart\nversion: 0.1.0\n');
    await writeFile(join(chart, 'values.yaml'), 'size: 1\n');
    const versions =
      '[{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}}]';
    await writeFile(
      join(chart, 'crds', 'crd.yaml'),
      `apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: crates.helm.example}\nspec: {group: helm.example, scope: Namespaced, names: {kind: Crate, plural: crates}, versions: ${versions}}\n`,
    );
    await writeFile(
      join(chart, 'templates', 'all.yaml'),
      [
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "{{ .Release.Name }}"}\ndata: {size: "{{ .Values.size }}"}',
        'apiVersion: helm.example/v1\nkind: Crate\nmetadata: {name: "{{ .Release.Name }}"}\nspec: {size: {{ .Values.size }}}',
      ].join('\n---\n'),
    );
    const size = () => ok(kubectl('get crate r -o jsonpath={.spec.size}'));
    await ok(helm(`install r ${chart} --wait --timeout 20s`));
    assert.equal(await size(), '1');
    await ok(helm(`upgrade r ${chart} --set size=2 --wait --timeout 20s`));
    assert.equal(await size(), '2');
    await ok(helm('rollback r 1 --wait --timeout 20s'));
    assert.equal(await size(), '1');
    assert.match(await ok(helm('list')), /^r\s+default\s+3\s/m);
    await ok(helm('uninstall r --wait --timeout 20s'));
    assert.match((await kubectl('get configmap r')).err, /configmaps "r" not found/);
  });
});
