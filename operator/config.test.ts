import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ConfigError, loadConfig, usage } from './config.ts';

const required = ['--runtime-image=sluice/runtime:1'];

test('only the image must be given; everything else has a default', () => {
  const { identity, ...config } = loadConfig(required, {});
  assert.notEqual(identity, '');
  assert.deepEqual(config, {
    runtimeImage: 'sluice/runtime:1',
    runtimeImagePullPolicy: 'IfNotPresent',
    imagePullSecrets: [],
    runtimeLogLevel: 'info',
    runtimeResources: { requests: { cpu: '100m', memory: '256Mi' }, limits: { memory: '2Gi' } },
    routerReplicas: 2,
    routerResources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '512Mi' } },
    routerGraceSeconds: 60,
    routerClusterRole: 'sluice-router',
    artifactSchemes: ['https', 's3', 'gs', 'oci', 'hf', 'pvc'],
    artifactPrivateHosts: [],
    gatewayApi: false,
    artifactEndpoints: {},
    artifactMaxBytes: 32 * 2 ** 30,
    leaderElection: true,
    leaseName: 'sluice-operator',
    leaseNamespace: undefined,
    leaseDurationMs: 15_000,
    renewDeadlineMs: 10_000,
    retryPeriodMs: 2_000,
    concurrency: 8,
    metricsPort: 8080,
    healthPort: 8081,
    bindAddress: undefined,
    logLevel: 'info',
    kubeconfig: undefined,
  });
});

test('a flag wins over the environment, which wins over the default', () => {
  const environment = {
    SLUICE_ROUTER_REPLICAS: '3',
    SLUICE_LOG_LEVEL: 'debug',
    SLUICE_BIND_ADDRESS: '127.1.2.3',
    POD_NAME: 'operator-0',
    POD_NAMESPACE: 'sluice-system',
  };
  const config = loadConfig([...required, '--log-level', 'warn'], environment);
  assert.equal(config.routerReplicas, 3);
  assert.equal(config.logLevel, 'warn');
  assert.equal(config.bindAddress, '127.1.2.3');
  assert.equal(config.identity, 'operator-0');
  assert.equal(config.leaseNamespace, 'sluice-system');
  assert.equal(loadConfig([...required, '--lease-namespace=other'], environment).leaseNamespace, 'other');
});

test('lists are split, trimmed and without repetitions', () => {
  const { artifactSchemes, artifactPrivateHosts } = loadConfig(
    [...required, '--artifact-schemes=https, file,,https', '--artifact-private-hosts='],
    {},
  );
  assert.deepEqual(artifactSchemes, ['https', 'file']);
  assert.deepEqual(artifactPrivateHosts, []);
});

const refusals: readonly [string, RegExp][] = [
  ['--bogus=1', /Unknown option '--bogus'/],
  ['positional', /Unexpected argument 'positional'/],
  ['--router-replicas=0', /--router-replicas: must be a whole number from 1 to 100, not "0"/],
  ['--router-replicas=2.5', /--router-replicas: must be a whole number/],
  ['--metrics-port=65536', /--metrics-port: must be a whole number from 0 to 65535/],
  ['--leader-election=yes', /--leader-election: must be true or false, not "yes"/],
  ['--log-level=loud', /--log-level: must be one of error, warn, info, debug, not "loud"/],
  ['--runtime-image-pull-policy=always', /must be one of Always, IfNotPresent, Never/],
  ['--lease-duration=15', /--lease-duration: not a duration: "15"/],
  ['--lease-duration=0s', /--lease-duration: must be above 0/],
  ['--lease-duration=10s', /--renew-deadline must be shorter than --lease-duration/],
  ['--retry-period=10s', /--retry-period must be shorter than --renew-deadline/],
  [
    '--router-resources={"request":{}}',
    /--router-resources: has request, but only requests and limits are known/,
  ],
  ['--router-resources={"limits":{"cpu":true}}', /--router-resources: limits\.cpu must be a quantity/],
  ['--router-resources=[]', /--router-resources: must be a JSON object/],
  ['--runtime-image= ', /--runtime-image: must not be empty/],
];
for (const [argument, message] of refusals) {
  test(`${argument} is refused`, () => {
    assert.throws(
      () => loadConfig([...required, argument], {}),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

test('a value from the environment is named by its variable', () => {
  assert.throws(
    () => loadConfig(required, { SLUICE_METRICS_PORT: 'tcp://10.0.0.1:8080' }),
    /^ConfigError: SLUICE_METRICS_PORT: /,
  );
  assert.throws(() => loadConfig([], {}), /--runtime-image is required/);
});

test('the chart gives no flag that is unknown', () => {
  const template = readFileSync(
    new URL('../charts/sluice/templates/deployment.yaml', import.meta.url),
    'utf8',
  );
  const given = [...template.matchAll(/^\s*- (--[a-z-]+)=/gm)].map(([, name]) => name!);
  assert.ok(given.length > 10, `${given.length} flags`);
  for (const name of given) assert.ok(usage().includes(`${name} `), `${name} is unknown`);
});
