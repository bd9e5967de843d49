import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Json, type JsonObject, own } from '../json.ts';
import { reference } from '../schema/models.ts';
import { jsonPatch } from './json-patch.ts';
import { mergePatch } from './merge-patch.ts';
import { strategicPatch } from './strategic-patch.ts';

describe('JSON patch', () => {
  const rows: [name: string, target: Json, patch: Json, expected: Json][] = [
    ['add a member', { a: 1 }, [{ op: 'add', path: '/b', value: 2 }], { a: 1, b: 2 }],
    ['insert into a list', { a: [1, 3] }, [{ op: 'add', path: '/a/1', value: 2 }], { a: [1, 2, 3] }],
    ['append', { a: [1] }, [{ op: 'add', path: '/a/-', value: 2 }], { a: [1, 2] }],
    [
      'escaped names',
      { 'x/y': 1, 'a~b': 2 },
      [
        { op: 'remove', path: '/x~1y' },
        { op: 'replace', path: '/a~0b', value: 3 },
      ],
      { 'a~b': 3 },
    ],
    ['move', { a: { b: 1 } }, [{ op: 'move', from: '/a/b', path: '/c' }], { a: {}, c: 1 }],
    ['copy', { a: [1] }, [{ op: 'copy', from: '/a', path: '/b' }], { a: [1], b: [1] }],
    ['test that holds', { a: 1 }, [{ op: 'test', path: '/a', value: 1 }], { a: 1 }],
    ['replace the whole', { a: 1 }, [{ op: 'replace', path: '', value: { b: 1 } }], { b: 1 }],
  ];
  for (const [name, target, patch, expected] of rows) {
    test(name, () => assert.deepEqual(jsonPatch(target, patch), expected));
  }

  const refused: [name: string, patch: Json][] = [
    ['a test that fails', [{ op: 'test', path: '/a', value: 2 }]],
    ['a missing member', [{ op: 'remove', path: '/nope' }]],
    ['a missing parent', [{ op: 'add', path: '/x/y', value: 1 }]],
    ['an index beyond the end', [{ op: 'add', path: '/list/5', value: 1 }]],
  ];
  for (const [name, patch] of refused) {
    test(`refuses ${name}`, () => assert.throws(() => jsonPatch({ a: 1, list: [] }, patch), { code: 422 }));
  }

  test('leaves its input alone', () => {
    const target = { a: [1, { b: 2 }] };
    jsonPatch(target, [{ op: 'replace', path: '/a/1/b', value: 3 }]);
    assert.deepEqual(target, { a: [1, { b: 2 }] });
  });
});

describe('merge patch', () => {
  test('nulls delete, objects merge, lists replace', () => {
    const patched = mergePatch({ a: { b: 1, c: 2 }, d: [1, 2] }, { a: { b: null, e: 3 }, d: [9] });
    assert.deepEqual(patched, { a: { c: 2, e: 3 }, d: [9] });
  });

  test('a patch without nulls shows in the result, and applying it again changes nothing', () => {
    const value = fc.letrec<{ json: Json }>((tie) => ({
      json: fc.oneof(
        { depthSize: 'small' },
        fc.integer(),
        fc.string(),
        fc.boolean(),
        fc.array(fc.integer(), { maxLength: 3 }) as fc.Arbitrary<Json>,
        fc.dictionary(fc.string({ maxLength: 3 }), tie('json'), {
          maxKeys: 3,
          noNullPrototype: true,
        }) as fc.Arbitrary<Json>,
      ),
    })).json;
    const object = fc.dictionary(fc.string({ maxLength: 3 }), value, { maxKeys: 4, noNullPrototype: true });
    fc.assert(
      fc.property(object, object, (target, patch) => {
        const once = mergePatch(target, patch) as JsonObject;
        for (const [key, each] of Object.entries(patch)) {
          if (typeof each !== 'object') assert.deepEqual(own(once, key), each);
        }
        assert.deepEqual(mergePatch(once, patch), once);
      }),
    );
  });

  test('no key reaches a prototype', () => {
    mergePatch({}, JSON.parse('{"__proto__":{"polluted":true}}') as Json);
    assert.equal(({} as JsonObject)['polluted'], undefined);
  });
});

describe('strategic merge patch', () => {
  const schema = reference('V1PodSpec');
  const spec = (): JsonObject => ({
    containers: [
      { name: 'a', image: 'x:1', env: [{ name: 'E', value: '1' }], args: ['one', 'two'] },
      { name: 'b', image: 'y:1' },
    ],
    nodeSelector: { zone: 'z' },
  });
  const rows: [name: string, patch: JsonObject, check: (result: JsonObject) => void][] = [
    [
      'merges containers by name',
      { containers: [{ name: 'b', image: 'y:2' }] },
      (result) =>
        assert.deepEqual(result['containers'], [
          (spec()['containers'] as Json[])[0]!,
          { name: 'b', image: 'y:2' },
        ]),
    ],
    [
      'deletes by directive',
      { containers: [{ name: 'a', $patch: 'delete' }] },
      (result) => assert.deepEqual(result['containers'], [{ name: 'b', image: 'y:1' }]),
    ],
    [
      'replaces by directive',
      { containers: [{ $patch: 'replace' }, { name: 'c', image: 'z' }] },
      (result) => assert.deepEqual(result['containers'], [{ name: 'c', image: 'z' }]),
    ],
    [
      'sets the order of items',
      {
        '$setElementOrder/containers': [{ name: 'b' }, { name: 'c' }, { name: 'a' }],
        containers: [{ name: 'c', image: 'z' }],
      },
      (result) =>
        assert.deepEqual(
          (result['containers'] as JsonObject[]).map((each) => each['name']),
          ['b', 'c', 'a'],
        ),
    ],
    [
      'replaces lists that have no merge key',
      { containers: [{ name: 'a', args: ['three'] }] },
      (result) => assert.deepEqual((result['containers'] as JsonObject[])[0]!['args'], ['three']),
    ],
    [
      'deletes members by null',
      { nodeSelector: null },
      (result) => assert.equal('nodeSelector' in result, false),
    ],
    [
      'merges nested lists; what the patch names goes first where nothing says otherwise',
      { containers: [{ name: 'a', env: [{ name: 'F', value: '2' }] }] },
      (result) =>
        assert.deepEqual((result['containers'] as JsonObject[])[0]!['env'], [
          { name: 'F', value: '2' },
          { name: 'E', value: '1' },
        ]),
    ],
  ];
  for (const [name, patch, check] of rows) test(name, () => check(strategicPatch(spec(), patch, schema)));

  test('keeps only the keys that the patch retains', () => {
    const strategy = { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } };
    const patch = { strategy: { $retainKeys: ['type'], type: 'Recreate' } };
    assert.deepEqual(strategicPatch(strategy, patch, reference('V1DeploymentSpec')), {
      strategy: { type: 'Recreate' },
    });
  });

  test('refuses items that are not in the order it asks for', () => {
    const patch = {
      '$setElementOrder/containers': [{ name: 'b' }, { name: 'a' }],
      containers: [{ name: 'c' }],
    };
    assert.throws(() => strategicPatch(spec(), patch, schema), /doesn't match \$setElementOrder list/);
  });

  test('needs the merge key', () => {
    assert.throws(
      () => strategicPatch(spec(), { containers: [{ image: 'x' }] }, schema),
      /does not contain declared merge key: name/,
    );
  });
});
