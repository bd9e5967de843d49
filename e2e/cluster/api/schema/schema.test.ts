import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ApiObject, clone, type Json, type JsonObject } from '../json.ts';
import { checkDefaults, checkRules, compileRules } from './cel.ts';
import { applyDefaults, dropNulls } from './default.ts';
import { decodeBuiltin } from './fields.ts';
import { modelSchema } from './models.ts';
import { pruneUnknown } from './prune.ts';
import type { Schema } from './schema.ts';
import { validateStructural } from './structural.ts';
import { validateSchema } from './validate.ts';

function inSpec(spec: Schema): Schema {
  return { type: 'object', properties: { spec } };
}

function object(spec: Json): ApiObject {
  return { apiVersion: 'a.b/v1', kind: 'X', metadata: { name: 'n' }, spec };
}

describe('validation words what is wrong as kube-apiserver does', () => {
  const rows: [name: string, schema: Schema, value: Json, expected: string[]][] = [
    [
      'type',
      { type: 'string' },
      5,
      ['spec: Invalid value: "integer": spec in body must be of type string: "integer"'],
    ],
    ['required', { type: 'object', required: ['a'] }, {}, ['spec.a: Required value']],
    [
      'pattern',
      { type: 'string', pattern: '^a+$' },
      'b',
      ['spec: Invalid value: "b": spec in body should match \'^a+$\''],
    ],
    [
      'minLength comes alone',
      { type: 'string', minLength: 2, pattern: '^a+$' },
      'b',
      ['spec: Invalid value: "b": spec in body should be at least 2 chars long'],
    ],
    ['maxLength', { type: 'string', maxLength: 1 }, 'ab', ['spec: Too long: may not be more than 1 bytes']],
    [
      'maximum',
      { type: 'integer', maximum: 5 },
      6,
      ['spec: Invalid value: 6: spec in body should be less than or equal to 5'],
    ],
    [
      'exclusive minimum',
      { type: 'number', minimum: 0, exclusiveMinimum: true },
      0,
      ['spec: Invalid value: 0: spec in body should be greater than 0'],
    ],
    [
      'enum',
      { type: 'string', enum: ['a', 'b'] },
      'c',
      ['spec: Unsupported value: "c": supported values: "a", "b"'],
    ],
    [
      'maxItems',
      { type: 'array', maxItems: 1, items: { type: 'string' } },
      ['a', 'b'],
      ['spec: Too many: 2: must have at most 1 items'],
    ],
    [
      'sets',
      { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
      ['a', 'a'],
      ['spec[1]: Duplicate value: "a"'],
    ],
    [
      'int or string',
      { 'x-kubernetes-int-or-string': true },
      true,
      ['spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean"'],
    ],
    [
      'format',
      { type: 'string', format: 'duration' },
      'x',
      ['spec: Invalid value: "x": spec in body must be of type duration: "x"'],
    ],
    ['nullable', { type: 'string', nullable: true }, null, []],
    [
      'oneOf',
      { type: 'object', oneOf: [{ required: ['p'] }, { required: ['q'] }] },
      { p: 1, q: 1 },
      [
        '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives',
      ],
    ],
  ];
  for (const [name, schema, value, expected] of rows) {
    test(name, () => {
      const errors = validateSchema({ spec: value }, inSpec(schema), '');
      assert.deepEqual(
        errors.map((error) => error.text()),
        expected,
      );
    });
  }
});

describe('defaults and pruning', () => {
  const schema = inSpec({
    type: 'object',
    properties: {
      replicas: { type: 'integer', default: 1 },
      nested: { type: 'object', default: {}, properties: { mode: { type: 'string', default: 'auto' } } },
      list: {
        type: 'array',
        items: { type: 'object', properties: { port: { type: 'integer', default: 80 } } },
      },
      free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      labels: { type: 'object', additionalProperties: { type: 'string' } },
      note: { type: 'string' },
    },
  });

  test('defaults reach into defaulted objects and list items', () => {
    const value: JsonObject = { spec: { list: [{}, { port: 1 }], replicas: null } };
    applyDefaults(value, schema);
    assert.deepEqual(value['spec'], {
      replicas: 1,
      nested: { mode: 'auto' },
      list: [{ port: 80 }, { port: 1 }],
    });
  });

  test('nulls without a default vanish', () => {
    const value: JsonObject = { spec: { note: null, labels: { a: null, b: 'c' } } };
    dropNulls(value, schema);
    assert.deepEqual(value['spec'], { labels: { b: 'c' } });
  });

  test('unknown fields are dropped and named', () => {
    const { value, unknown } = pruneUnknown(
      object({ bad: 1, free: { any: 1 }, labels: { x: 'y' }, list: [{ z: 1 }] }),
      schema,
    );
    assert.deepEqual(value['spec'], { free: { any: 1 }, labels: { x: 'y' }, list: [{}] });
    assert.deepEqual(unknown, ['spec.bad', 'spec.list[0].z']);
  });
});

describe('decoding of built-in kinds', () => {
  const schema = modelSchema('V1Deployment');
  const decode = (spec: Json) =>
    decodeBuiltin({ apiVersion: 'apps/v1', kind: 'Deployment', spec }, schema, 'Deployment', 'v1');

  test('tells of wrong types as Go does', () => {
    assert.throws(() => decode({ replicas: 'two' }), {
      message:
        'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32',
    });
    const template = { spec: { containers: [{ name: 'c', image: 5 }] } };
    assert.throws(
      () => decode({ template }),
      /Go struct field Container\.spec\.template\.spec\.containers\.image of type string/,
    );
  });

  test('quantities may be numbers, and become texts', () => {
    const resources = { limits: { cpu: 1 } };
    const { value } = decode({ template: { spec: { containers: [{ name: 'c', resources }] } } });
    assert.match(JSON.stringify(value), /"limits":\{"cpu":"1"\}/);
  });

  test('unknown fields are named', () => {
    assert.deepEqual(decode({ template: { spec: { containers: [{ nmae: 'c' }] } } }).unknown, [
      'spec.template.spec.containers[0].nmae',
    ]);
  });
});

describe('CEL rules', () => {
  const evaluate = (spec: Schema, value: Json, old?: Json): string[] =>
    compileRules(inSpec(spec))
      .evaluate(object(value), old === undefined ? undefined : object(old))
      .map((error) => error.text());
  const rule = (text: string, more: JsonObject = {}): Schema => ({
    'x-kubernetes-validations': [{ rule: text, message: 'no', ...more }],
  });
  const ints: Schema = { type: 'array', items: { type: 'integer' } };
  const text: Schema = { type: 'string' };

  const holds: [rule: string, schema: Schema, value: Json, expected: boolean][] = [
    ['self.all(x, x > 0)', ints, [1, 2], true],
    ['self.exists(x, x > 2)', ints, [1, 2], false],
    ['self.sum() == 3', ints, [1, 2], true],
    ['self.isSorted() && self.max() == 2 && self.indexOf(2) == 1', ints, [1, 2], true],
    ["self.matches('^a+$')", text, 'aaa', true],
    ["self.matches('(?i)^A')", text, 'abc', true],
    ["self.find('[0-9]+') == '12'", text, 'a12', true],
    ["self.split('-').size() == 2 && self.replace('-', '+') == 'a+b'", text, 'a-b', true],
    ["duration(self) <= duration('1h')", text, '90m', false],
    ["url(self).getScheme() == 'https' && url(self).getHost() == 'a.b:8'", text, 'https://a.b:8/c', true],
    ['isURL(self)', text, 'nonsense', false],
    ["quantity(self).isLessThan(quantity('1Gi'))", text, '500Mi', true],
    ['isQuantity(self)', text, '1x', false],
    ["cidr('10.0.0.0/8').containsIP(self)", text, '10.9.8.7', true],
    ['isIP(self)', text, '1.2.3', false],
    ['!format.dns1123Label().validate(self).hasValue()', text, 'Not_a_label', false],
    ["self.lowerAscii() in ['a', 'b']", text, 'B', true],
    ["'%s!'.format([self]) == 'a!'", text, 'a', true],
  ];
  for (const [expression, schema, value, expected] of holds) {
    test(`${expression} of ${JSON.stringify(value)}`, () => {
      assert.equal(evaluate({ ...schema, ...rule(expression) }, value).length === 0, expected);
    });
  }

  const fields: Schema = {
    type: 'object',
    properties: {
      a: { type: 'integer' },
      b: { type: 'integer' },
      ratio: { type: 'number' },
      'x-y': text,
      namespace: text,
      at: { type: 'string', format: 'date-time' },
    },
  };

  test('optional fields, numbers, times and names that need escaping', () => {
    const check = (expression: string, value: Json) => evaluate({ ...fields, ...rule(expression) }, value);
    assert.deepEqual(check('!has(self.a) || self.a < self.b', { a: 1, b: 2 }), []);
    assert.deepEqual(check('self.?a.orValue(7) == 7', {}), []);
    assert.deepEqual(check('self.ratio > 0.5 && self.ratio < 2', { ratio: 1 }), []);
    assert.deepEqual(
      check("self.x__dash__y == 'q' && self.__namespace__ == 'n'", { 'x-y': 'q', namespace: 'n' }),
      [],
    );
    assert.deepEqual(
      check("self.at > timestamp('2020-01-01T00:00:00Z')", { at: '2026-01-01T00:00:00Z' }),
      [],
    );
  });

  test('has() of a field of an item, as the Gateway API asks it', () => {
    const items: Schema = { type: 'array', items: { type: 'object', properties: { a: text, b: fields } } };
    const check = (expression: string, value: Json) => evaluate({ ...items, ...rule(expression) }, value);
    assert.deepEqual(check('has(self[0].a) && !has(self[1].a)', [{ a: 'x' }, {}]), []);
    assert.deepEqual(check('(has(self[0].a) ? self[0].a.size() : 0) <= 1', [{ a: 'xy' }]), [
      'spec: Invalid value: no',
    ]);
    assert.deepEqual(check('has(self[0].b.a) || has( self[(0)].b )', [{ b: {} }]), []);
    assert.deepEqual(check("self[0].a == 'has(self[0].a)'", [{ a: 'has(self[0].a)' }]), []);
  });

  test('messages, field paths and reasons', () => {
    const more = {
      messageExpression: "'a is %d'.format([self.a])",
      fieldPath: '.a',
      reason: 'FieldValueForbidden',
    };
    assert.deepEqual(evaluate({ ...fields, ...rule('self.a > 1', more) }, { a: 1 }), [
      'spec.a: Forbidden: a is 1',
    ]);
    assert.deepEqual(evaluate({ ...fields, ...rule('self.a > 1') }, { a: 1 }), ['spec: Invalid value: no']);
  });

  test('a value that is missing fails the rule', () => {
    assert.match(
      evaluate({ ...fields, ...rule('self.a > 1') }, {})[0]!,
      /no such key: a evaluating rule: no/,
    );
  });

  test('transition rules run on updates only, against the item with the same key', () => {
    const immutable = { ...text, ...rule('self == oldSelf') };
    assert.deepEqual(evaluate(immutable, 'a'), []);
    assert.deepEqual(evaluate(immutable, 'b', 'a'), ['spec: Invalid value: "b": no']);
    const items: Schema = {
      type: 'object',
      properties: { name: text, port: { type: 'integer', ...rule('self >= oldSelf') } },
    };
    const list: Schema = {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
      items,
    };
    const before = [
      { name: 'x', port: 5 },
      { name: 'y', port: 6 },
    ];
    assert.deepEqual(
      evaluate(
        list,
        [
          { name: 'y', port: 6 },
          { name: 'x', port: 4 },
        ],
        before,
      ),
      ['spec[1].port: Invalid value: 4: no'],
    );
    assert.deepEqual(evaluate(list, [{ name: 'new', port: 1 }], before), []);
  });

  test('optionalOldSelf sees creations too', () => {
    const once = { ...text, ...rule("oldSelf.hasValue() || self == 'first'", { optionalOldSelf: true }) };
    assert.deepEqual(evaluate(once, 'second'), ['spec: Invalid value: "second": no']);
    assert.deepEqual(evaluate(once, 'second', 'first'), []);
  });

  const refused: [rule: string, why: RegExp][] = [
    ['self.', /compilation failed/],
    ['self.nope > 1', /undefined field 'nope'/],
    ['nope(self)', /compilation failed/],
    ['1 + 1', /must evaluate to a bool/],
    ['unknown == 1', /compilation failed/],
  ];
  for (const [expression, why] of refused) {
    test(`refuses ${expression}`, () => {
      const [error] = checkRules(inSpec({ ...clone(fields), ...rule(expression) }), 'schema');
      assert.match(error!.text(), why);
      assert.equal(error!.field, 'schema.properties[spec].x-kubernetes-validations[0].rule');
    });
  }

  test('a default has to hold as it is written, before its own fields get their defaults', () => {
    const mode = (value: Json): Schema =>
      inSpec({
        type: 'object',
        default: value,
        properties: { mode: { type: 'string', default: 'auto' } },
        ...rule("self.mode != ''"),
      });
    assert.deepEqual(checkDefaults(mode({ mode: 'auto' }), 'schema'), []);
    const [error] = checkDefaults(mode({}), 'schema');
    assert.match(error!.text(), /no such key: mode evaluating rule: no/);
    assert.equal(error!.field, 'schema.properties[spec].default');
  });
});

describe('structural schemas', () => {
  const rows: [name: string, schema: Schema, why: RegExp][] = [
    ['a property without a type', inSpec({}), /properties\[spec\]\.type: Required value/],
    ['a list without items', inSpec({ type: 'array' }), /items: Required value/],
    [
      'a pattern that is no RE2',
      inSpec({ type: 'string', pattern: '(' }),
      /must be a valid regular expression/,
    ],
    [
      'a keyed list without keys',
      inSpec({ type: 'array', items: { type: 'object' }, 'x-kubernetes-list-type': 'map' }),
      /list-map-keys: Required value/,
    ],
    ['a default of the wrong type', inSpec({ type: 'string', default: 5 }), /must be of type string/],
  ];
  for (const [name, schema, why] of rows) {
    test(`refuses ${name}`, () =>
      assert.match(
        validateStructural(schema, 'schema')
          .map((error) => error.text())
          .join(),
        why,
      ));
  }
});
