import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { violations } from '../admission/pod-security.ts';
import { duplicateKeys } from '../http/duplicates.ts';
import type { ApiObject, JsonObject } from '../json.ts';
import { parseQuantity } from '../quantity.ts';
import { printers } from '../tables/builtin.ts';
import { age, duration } from '../tables/format.ts';
import { readPath } from './json-path.ts';
import { isLabel, isLabelValue, isQualifiedName, isSubdomain } from './names.ts';
import { compareVersions } from './registry.ts';

describe('names', () => {
  const rows: [check: (name: string) => string[], good: string[], bad: string[]][] = [
    [isLabel, ['a', 'a-b', '1a', 'x'.repeat(63)], ['', 'A', '-a', 'a-', 'a.b', 'x'.repeat(64), 'a\nb']],
    [isSubdomain, ['a.b', 'a-1.b'], ['a..b', '.a', 'a_b', 'x'.repeat(254)]],
    [isQualifiedName, ['app', 'sluice.dev/model', 'A_b.c'], ['', '/x', 'a/b/c', 'a b', 'UP.case/x']],
    [isLabelValue, ['', 'v1.0', 'A_b'], ['-a', 'a b', 'x'.repeat(64), 'a\nb']],
  ];
  for (const [check, good, bad] of rows) {
    test(check.name, () => {
      for (const name of good) assert.deepEqual(check(name), [], name);
      for (const name of bad) assert.notEqual(check(name).length, 0, name);
    });
  }
});

describe('quantities', () => {
  const unit = 1_000_000_000n;
  const rows: [text: string | number, value: bigint | undefined][] = [
    ['1', unit],
    [2, 2n * unit],
    ['500m', unit / 2n],
    ['1.5Gi', (3n * 1024n ** 3n * unit) / 2n],
    ['2e3', 2000n * unit],
    ['100n', 100n],
    ['-1', -unit],
    ['1x', undefined],
    ['', undefined],
    ['1 ', undefined],
  ];
  for (const [text, value] of rows) test(String(text), () => assert.equal(parseQuantity(text), value));
});

describe('table cells', () => {
  const rows: [seconds: number, text: string][] = [
    [5, '5s'],
    [119, '119s'],
    [125, '2m5s'],
    [600, '10m'],
    [3 * 3600, '3h'],
    [3 * 3600 + 60, '3h1m'],
    [50 * 3600, '2d2h'],
    [10 * 24 * 3600, '10d'],
    [3 * 365 * 24 * 3600, '3y'],
  ];
  for (const [seconds, text] of rows) test(`${seconds} seconds`, () => assert.equal(duration(seconds), text));

  test('a time that is missing', () => assert.equal(age(undefined, 0), '<unknown>'));

  const pod = (status: JsonObject, metadata: JsonObject = {}, spec: JsonObject = {}): ApiObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', ...metadata },
    spec: { containers: [{ name: 'c' }], ...spec },
    status,
  });
  const state = (each: JsonObject, more: JsonObject = {}) => ({
    containerStatuses: [{ name: 'c', state: each, ...more }],
  });
  const words: [name: string, pod: ApiObject, word: string][] = [
    ['pending', pod({ phase: 'Pending' }), 'Pending'],
    [
      'waiting',
      pod({ phase: 'Pending', ...state({ waiting: { reason: 'ImagePullBackOff' } }) }),
      'ImagePullBackOff',
    ],
    ['crashed', pod({ phase: 'Running', ...state({ terminated: { exitCode: 3 } }) }), 'ExitCode:3'],
    [
      'crash loop',
      pod({ phase: 'Running', ...state({ waiting: { reason: 'CrashLoopBackOff' } }) }),
      'CrashLoopBackOff',
    ],
    ['evicted', pod({ phase: 'Failed', reason: 'Evicted' }), 'Evicted'],
    ['leaving', pod({ phase: 'Running' }, { deletionTimestamp: '2026-01-01T00:00:00Z' }), 'Terminating'],
    [
      'initializing',
      pod(
        { phase: 'Pending', initContainerStatuses: [{ name: 'i', state: { running: {} } }] },
        {},
        { initContainers: [{ name: 'i' }] },
      ),
      'Init:0/1',
    ],
  ];
  for (const [name, object, word] of words) {
    test(`a pod that is ${name}`, () => assert.equal(printers['/pods']!.cells(object, 0)[2], word));
  }
});

describe('JSON paths of columns', () => {
  const value = {
    spec: { replicas: 3, 'a.b': 'dotted' },
    status: {
      conditions: [
        { type: 'Ready', status: 'True' },
        { type: 'Other', status: 'False' },
      ],
    },
  };
  const rows: [path: string, expected: unknown[]][] = [
    ['.spec.replicas', [3]],
    ['.spec.missing', []],
    ['.spec.a\\.b', ['dotted']],
    ['.status.conditions[?(@.type=="Ready")].status', ['True']],
    [".status.conditions[?(@.type=='Ready')].status", ['True']],
    ['.status.conditions[*].type', ['Ready', 'Other']],
    ['.status.conditions[1].status', ['False']],
  ];
  for (const [path, expected] of rows) test(path, () => assert.deepEqual(readPath(value, path), expected));
});

describe('keys that occur twice', () => {
  test('are found with their paths', () => {
    const text = '{"a":1,"b":{"c":1,"c":2},"d":[{"e":1},{"e":1,"e":"}\\"{"}],"a":2}';
    assert.deepEqual(duplicateKeys(text), ['b.c', 'd[1].e', 'a']);
  });

  test('are never found in what JSON.stringify makes', () => {
    fc.assert(
      fc.property(fc.json(), (text) => assert.deepEqual(duplicateKeys(JSON.stringify(JSON.parse(text))), [])),
    );
  });
});

describe('Pod Security', () => {
  const tight = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  const whole = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };
  const good: JsonObject = { securityContext: whole, containers: [{ name: 'c', securityContext: tight }] };
  const rows: [name: string, change: JsonObject, why: string][] = [
    ['host network', { hostNetwork: true }, 'host namespaces (hostNetwork=true)'],
    [
      'host path',
      { volumes: [{ name: 'v', hostPath: { path: '/' } }] },
      'restricted volume types (volume "v" uses restricted volume type "hostPath")',
    ],
    ['root', { securityContext: { ...whole, runAsUser: 0 } }, 'runAsUser=0 (pod must not set runAsUser=0)'],
    [
      'no seccomp',
      { securityContext: { runAsNonRoot: true } },
      'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    ],
    [
      'capabilities',
      {
        containers: [
          { name: 'c', securityContext: { ...tight, capabilities: { drop: ['ALL'], add: ['SYS_ADMIN'] } } },
        ],
      },
      'unrestricted capabilities (container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add)',
    ],
    [
      'escalation in an init container',
      { initContainers: [{ name: 'i', securityContext: { capabilities: { drop: ['ALL'] } } }] },
      'allowPrivilegeEscalation != false (container "i" must set securityContext.allowPrivilegeEscalation=false)',
    ],
  ];
  test('a tight pod is in order', () => assert.equal(violations('restricted', good), ''));
  for (const [name, change, why] of rows) {
    test(name, () => assert.equal(violations('restricted', { ...good, ...change }), why));
  }
  test('baseline lets pass what is only not restricted', () => {
    assert.equal(violations('baseline', { containers: [{ name: 'c' }] }), '');
    assert.equal(violations('privileged', { hostNetwork: true }), '');
  });
});

test('versions are ordered as Kubernetes orders them', () => {
  const versions = ['v1alpha1', 'foo', 'v2', 'v1beta2', 'v1', 'v1beta10'];
  assert.deepEqual(versions.sort(compareVersions), ['v2', 'v1', 'v1beta10', 'v1beta2', 'v1alpha1', 'foo']);
});
