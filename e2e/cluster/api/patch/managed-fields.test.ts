import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type ApiObject, asObject, clone, type JsonObject } from '../json.ts';
import { modelSchema } from '../schema/models.ts';
import { FieldSet } from './field-set.ts';
import { applyObject, recordUpdate } from './managed-fields.ts';

const schema = modelSchema('V1Deployment');
const now = new Date('2026-01-01T00:00:00Z');

function deployment(spec: JsonObject): ApiObject {
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec };
}

function containers(...list: JsonObject[]): JsonObject {
  return { template: { spec: { containers: list } } };
}

function apply(live: ApiObject | undefined, manager: string, spec: JsonObject, force = false): ApiObject {
  const writer = { manager, apiVersion: 'apps/v1', subresource: '' };
  return applyObject({ live, applied: deployment(spec), schema, writer, hasStatus: true, force, now });
}

function owners(object: ApiObject, path: string[]): string[] {
  return (object.metadata.managedFields ?? [])
    .filter((entry) => FieldSet.fromJson(entry.fieldsV1!).at(path)?.member)
    .map((entry) => entry.manager!);
}

describe('server-side apply', () => {
  test('the same configuration again changes nothing', () => {
    const first = apply(undefined, 'a', { replicas: 1, ...containers({ name: 'c', image: 'x' }) });
    assert.deepEqual(apply(first, 'a', { replicas: 1, ...containers({ name: 'c', image: 'x' }) }), first);
  });

  test('a field that its only owner no longer applies is removed', () => {
    const first = apply(undefined, 'a', { replicas: 3, paused: true });
    assert.deepEqual(apply(first, 'a', { paused: true })['spec'], { paused: true });
  });

  test('a field that another owns too stays, and becomes theirs alone', () => {
    const first = apply(undefined, 'a', { replicas: 3 });
    const shared = apply(first, 'b', { replicas: 3 });
    const left = apply(shared, 'a', { paused: true });
    assert.deepEqual(left['spec'], { replicas: 3, paused: true });
    assert.deepEqual(owners(left, ['f:spec', 'f:replicas']), ['b']);
  });

  test('a conflict names the owner and the field, and changes nothing', () => {
    const first = apply(undefined, 'a', { replicas: 3 });
    assert.throws(() => apply(first, 'b', { replicas: 4 }), {
      code: 409,
      message: 'Apply failed with 1 conflict: conflict with "a": .spec.replicas',
    });
  });

  test('force takes the field over', () => {
    const forced = apply(apply(undefined, 'a', { replicas: 3 }), 'b', { replicas: 4 }, true);
    assert.deepEqual(forced['spec'], { replicas: 4 });
    assert.deepEqual(owners(forced, ['f:spec', 'f:replicas']), ['b']);
  });

  test('items of keyed lists have owners of their own', () => {
    const first = apply(undefined, 'a', containers({ name: 'x', image: '1' }));
    const both = apply(first, 'b', containers({ name: 'y', image: '2' }));
    assert.deepEqual(both['spec'], containers({ name: 'x', image: '1' }, { name: 'y', image: '2' }));
    const left = apply(both, 'a', {});
    assert.deepEqual(left['spec'], containers({ name: 'y', image: '2' }));
  });

  test('an update takes over what it changes, and only that', () => {
    const first = apply(undefined, 'a', { replicas: 3, paused: true });
    const object = clone(first);
    asObject(object['spec'])['replicas'] = 5;
    const writer = { manager: 'scaler', apiVersion: 'apps/v1', subresource: 'scale' };
    recordUpdate({ live: first, object, schema, writer, hasStatus: true, now });
    assert.deepEqual(owners(object, ['f:spec', 'f:replicas']), ['scaler']);
    assert.deepEqual(owners(object, ['f:spec', 'f:paused']), ['a']);
    assert.throws(() => apply(object, 'a', { replicas: 3, paused: true }), {
      message:
        'Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas',
    });
  });

  test('many updaters are put together, so that the list stays bounded', () => {
    let object = apply(undefined, 'first', { replicas: 0 });
    for (let index = 1; index <= 30; index += 1) {
      const next = clone(object);
      next.metadata.labels = { ...next.metadata.labels, [`l${index}`]: 'x' };
      recordUpdate({
        live: object,
        object: next,
        schema,
        writer: { manager: `m${index}`, apiVersion: 'apps/v1', subresource: '' },
        hasStatus: true,
        now: new Date(now.getTime() + index * 1000),
      });
      object = next;
    }
    assert.equal(object.metadata.managedFields!.length, 11);
    assert.ok(object.metadata.managedFields!.some((entry) => entry.manager === 'ancient-changes'));
  });

  test('whatever two managers apply: the last one gets what it asked for, and applying it again is a no-op', () => {
    const image = fc.constantFrom('1', '2');
    const container = fc.record({ name: fc.constantFrom('a', 'b', 'c'), image });
    const list = fc.uniqueArray(container, { selector: (each) => each.name, minLength: 1, maxLength: 3 });
    const spec = fc.record({ replicas: fc.integer({ min: 0, max: 3 }), list });
    const steps = fc.array(fc.record({ manager: fc.constantFrom('a', 'b'), spec }), {
      minLength: 1,
      maxLength: 5,
    });
    fc.assert(
      fc.property(steps, (all) => {
        let live: ApiObject | undefined;
        for (const { manager, spec: wanted } of all) {
          const configuration = { replicas: wanted.replicas, ...containers(...wanted.list) };
          live = apply(live, manager, configuration, true);
          const have = asObject(asObject(asObject(asObject(live['spec'])['template'])['spec']))[
            'containers'
          ] as JsonObject[];
          for (const each of wanted.list) {
            assert.equal(have.find((one) => one['name'] === each.name)?.['image'], each.image);
          }
          assert.deepEqual(apply(live, manager, configuration, true), live);
        }
      }),
    );
  });
});

describe('field sets', () => {
  const path = fc.array(fc.constantFrom('f:a', 'f:b', 'k:{"name":"x"}', 'v:"y"'), {
    minLength: 1,
    maxLength: 3,
  });
  const set = fc.array(path, { maxLength: 6 }).map((paths) => {
    const made = new FieldSet();
    for (const each of paths) made.insert(each);
    return made;
  });

  test('survive the wire', () => {
    fc.assert(
      fc.property(set, (each) => assert.deepEqual(FieldSet.fromJson(each.toJson()).paths(), each.paths())),
    );
  });

  test('a union less one part has nothing of that part, and all of the rest', () => {
    fc.assert(
      fc.property(set, set, (a, b) => {
        const rest = a.union(b).difference(b);
        assert.ok(rest.intersection(b).empty);
        assert.deepEqual(rest.union(a.intersection(b)).paths(), a.paths());
      }),
    );
  });

  test('show paths as people write them', () => {
    const made = new FieldSet();
    made.insert(['f:spec', 'f:containers', 'k:{"name":"c"}', 'f:image']);
    assert.deepEqual(made.paths(), ['.spec.containers[name="c"].image']);
  });
});
