import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ConfigError,
  type ConfigMap,
  containerEnvironment,
  type Secret,
  type Service,
  serviceEnvironment,
} from './environment.ts';
import { podObject } from './fake-api.ts';
import type { Container } from './pod.ts';

const place = { podAddress: '10.1.0.1', hostAddress: '10.0.0.1', allocatable: { cpu: '4', memory: '8Gi' } };
const base64 = (text: string) => Buffer.from(text).toString('base64');
const configMaps: Record<string, ConfigMap> = {
  settings: { apiVersion: 'v1', kind: 'ConfigMap', metadata: {}, data: { color: 'green', size: 'L' } },
};
const secrets: Record<string, Secret> = {
  keys: { apiVersion: 'v1', kind: 'Secret', metadata: {}, data: { token: base64('s3cret') } },
};
const lookups = {
  configMap: async (name: string) => configMaps[name],
  secret: async (name: string) => secrets[name],
};
const services: Service[] = [
  service('default', 'kubernetes', '10.96.0.1', [{ name: 'https', port: 443 }]),
  service('team', 'my-db', '10.96.0.9', [
    { name: 'sql-port', port: 5432 },
    { name: 'admin', port: 80 },
  ]),
  service('team', 'headless', 'None', [{ port: 1 }]),
  service('other', 'far', '10.96.0.8', [{ port: 1 }]),
];

function service(
  namespace: string,
  name: string,
  clusterIP: string,
  ports: { name?: string; port: number }[],
): Service {
  return { apiVersion: 'v1', kind: 'Service', metadata: { namespace, name }, spec: { clusterIP, ports } };
}

function build(container: Partial<Container>): Promise<Record<string, string>> {
  const whole = { name: 'c', ...container };
  const metadata = {
    namespace: 'team',
    labels: { 'app.kubernetes.io/name': 'web' },
    annotations: { note: 'hi' },
  };
  const pod = podObject(
    'p',
    { containers: [whole], enableServiceLinks: false, nodeName: 'n1', serviceAccountName: 'sa' },
    metadata,
  );
  return containerEnvironment(pod, whole, place, lookups, []);
}

describe('containerEnvironment', () => {
  it('takes values, expands names that came before, and lets later ones win', async () => {
    const env = await build({
      envFrom: [{ configMapRef: { name: 'settings' } }, { prefix: 'K_', secretRef: { name: 'keys' } }],
      env: [
        { name: 'A', value: 'one' },
        { name: 'B', value: '$(A) $(C) $(color)' },
        { name: 'C', value: 'late' },
        { name: 'size', value: 'XL' },
        { name: 'EMPTY' },
      ],
    });
    assert.deepEqual(env, {
      color: 'green',
      size: 'XL',
      K_token: 's3cret',
      A: 'one',
      B: 'one $(C) green',
      C: 'late',
      EMPTY: '',
    });
  });

  it('answers what a pod may ask about itself', async () => {
    const field = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } });
    const resource = (name: string, divisor?: string) => ({
      valueFrom: { resourceFieldRef: { resource: name, ...(divisor ? { divisor } : {}) } },
    });
    const env = await build({
      resources: { requests: { cpu: '250m', memory: '1Gi' }, limits: { memory: '2Gi' } },
      env: [
        { name: 'NAME', ...field('metadata.name') },
        { name: 'LABEL', ...field("metadata.labels['app.kubernetes.io/name']") },
        { name: 'NOTE', ...field("metadata.annotations['note']") },
        { name: 'NODE', ...field('spec.nodeName') },
        { name: 'ACCOUNT', ...field('spec.serviceAccountName') },
        { name: 'IP', ...field('status.podIP') },
        { name: 'HOST', ...field('status.hostIP') },
        { name: 'CPU', ...resource('requests.cpu') },
        { name: 'MILLICPU', ...resource('requests.cpu', '1m') },
        { name: 'MEMORY', ...resource('limits.memory', '1Mi') },
        { name: 'CPU_LIMIT', ...resource('limits.cpu') },
      ],
    });
    assert.deepEqual(env, {
      NAME: 'p',
      LABEL: 'web',
      NOTE: 'hi',
      NODE: 'n1',
      ACCOUNT: 'sa',
      IP: '10.1.0.1',
      HOST: '10.0.0.1',
      CPU: '1',
      MILLICPU: '250',
      MEMORY: '2048',
      CPU_LIMIT: '4',
    });
  });

  const missing: [string, Partial<Container>, string][] = [
    [
      'a Secret',
      { env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'x', key: 'k' } } }] },
      'secret "x" not found',
    ],
    [
      'a ConfigMap',
      { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'x', key: 'k' } } }] },
      'configmap "x" not found',
    ],
    [
      'a key of a Secret',
      { env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'keys', key: 'k' } } }] },
      "couldn't find key k in Secret team/keys",
    ],
    [
      'a key of a ConfigMap',
      { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key: 'k' } } }] },
      "couldn't find key k in ConfigMap team/settings",
    ],
    ['all of a ConfigMap', { envFrom: [{ configMapRef: { name: 'x' } }] }, 'configmap "x" not found'],
    [
      'a field',
      { env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'spec.secret' } } }] },
      'unsupported fieldPath: spec.secret',
    ],
  ];
  for (const [what, container, message] of missing) {
    it(`says that ${what} is missing`, () => assert.rejects(build(container), new ConfigError(message)));
  }

  it('does without what is optional', async () => {
    const optional = true;
    const env = await build({
      envFrom: [{ configMapRef: { name: 'x', optional } }, { secretRef: { name: 'x', optional } }],
      env: [
        { name: 'A', valueFrom: { secretKeyRef: { name: 'x', key: 'k', optional } } },
        { name: 'B', valueFrom: { configMapKeyRef: { name: 'settings', key: 'k', optional } } },
      ],
    });
    assert.deepEqual(env, {});
  });
});

describe('serviceEnvironment', () => {
  it('names the Services of the namespace and the API server', () => {
    const env = serviceEnvironment(podObject('p', { containers: [] }, { namespace: 'team' }), services);
    assert.equal(env['KUBERNETES_SERVICE_HOST'], '10.96.0.1');
    assert.equal(env['KUBERNETES_SERVICE_PORT_HTTPS'], '443');
    assert.equal(env['MY_DB_SERVICE_HOST'], '10.96.0.9');
    assert.equal(env['MY_DB_SERVICE_PORT'], '5432');
    assert.equal(env['MY_DB_SERVICE_PORT_SQL_PORT'], '5432');
    assert.equal(env['MY_DB_PORT_80_TCP'], 'tcp://10.96.0.9:80');
    assert.equal(env['MY_DB_PORT_80_TCP_ADDR'], '10.96.0.9');
    assert.deepEqual(
      Object.keys(env).filter((name) => /^(HEADLESS|FAR)/.test(name)),
      [],
    );
  });

  it('names only the API server where links are declined', () => {
    const pod = podObject('p', { containers: [], enableServiceLinks: false }, { namespace: 'team' });
    const env = serviceEnvironment(pod, services);
    assert.ok(Object.keys(env).every((name) => name.startsWith('KUBERNETES_')));
  });
});
