import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importsOf, objection, roomOf } from './import-rules.ts';

test('every way of importing is found, with its line and whether it is only of types', () => {
  const source = [
    `import { a, type B } from './a.ts';`,
    `import type { C } from '../c.ts';`,
    'import {',
    '  type D,',
    '  type E,',
    `} from './d.ts';`,
    `import './bare.ts';`,
    `export * from './again.ts';`,
    `export const from = 'not an import';`,
    `const f = await import('./late.ts');`,
    `let g: import('./type.ts').G;`,
    `import * as all from 'undici';`,
  ].join('\n');
  assert.deepEqual(importsOf(source), [
    { specifier: './a.ts', typesOnly: false, line: 1 },
    { specifier: '../c.ts', typesOnly: true, line: 2 },
    { specifier: './d.ts', typesOnly: true, line: 3 },
    { specifier: './bare.ts', typesOnly: false, line: 7 },
    { specifier: './again.ts', typesOnly: false, line: 8 },
    { specifier: './late.ts', typesOnly: false, line: 10 },
    { specifier: './type.ts', typesOnly: true, line: 11 },
    { specifier: 'undici', typesOnly: false, line: 12 },
  ]);
});

test('the deepest room decides', () => {
  assert.equal(roomOf('operator/kube/lease.ts'), 'operator/kube');
  assert.equal(roomOf('operator/main.ts'), 'operator');
  assert.equal(roomOf('runtime-image/router/agent.ts'), 'runtime-image/router');
  assert.equal(roomOf('runtime-image/server/http.ts'), 'runtime-image');
  assert.equal(roomOf('elsewhere/x.ts'), undefined);
});

const value = (specifier: string) => ({ specifier, typesOnly: false, line: 3 });
const types = (specifier: string) => ({ specifier, typesOnly: true, line: 3 });

test('allowed edges pass', () => {
  const passes = (file: string, target: string, found = value('./x.ts')) =>
    assert.equal(objection(file, target, found), undefined);
  passes('operator/decide/rollout.ts', 'operator/decide/pools.ts');
  passes('operator/decide/rollout.ts', 'operator/api/reasons.ts');
  passes('operator/reconcile/model.ts', 'operator/engine/controller.ts', types('../engine/controller.ts'));
  passes('operator/kube/cluster.ts', 'operator/reconcile/ports.ts', types('../reconcile/ports.ts'));
  passes('operator/main.ts', 'operator/reconcile/model.ts');
  passes('runtime-image/router/agent.ts', 'kube-client/informer.ts');
  passes('runtime-image/router/agent.ts', 'runtime-image/contract.ts', value('#contract'));
  passes('operator/engine/queue.ts', 'node:events', value('node:events'));
});

test('a forbidden edge names the file, the import and what is allowed', () => {
  assert.equal(
    objection('operator/decide/rollout.ts', 'kube-client/client.ts', value('../../kube-client/client.ts')),
    'operator/decide/rollout.ts:3: operator/decide may not import kube-client/client.ts; ' +
      'allowed: operator/api, runtime-image/contract.ts',
  );
  assert.equal(
    objection(
      'operator/reconcile/model.ts',
      'operator/engine/controller.ts',
      value('../engine/controller.ts'),
    ),
    'operator/reconcile/model.ts:3: operator/reconcile may import operator/engine/controller.ts only with `import type`',
  );
  assert.match(
    objection('runtime-image/server/http.ts', 'kube-client/client.ts', value('../../kube-client/client.ts'))!,
    /runtime-image may not import kube-client\/client\.ts/,
  );
  assert.match(
    objection('operator/reconcile/model.ts', 'operator/kube/cluster.ts', types('../kube/cluster.ts'))!,
    /operator\/reconcile may not import operator\/kube\/cluster\.ts/,
  );
  assert.match(
    objection('operator/engine/queue.ts', 'undici', value('undici'))!,
    /operator\/engine imports no package, so not undici/,
  );
  assert.match(
    objection('elsewhere/x.ts', 'kube-client/client.ts', value('../kube-client/client.ts'))!,
    /is no room/,
  );
});
