import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Crd, fileNameOf, type Schema, typesOf } from './types-of-crd.ts';

function crd(spec: Schema, status?: Schema): Crd {
  return {
    spec: {
      group: 'example.dev',
      scope: 'Namespaced',
      names: { kind: 'WidgetSet', plural: 'widgetsets' },
      versions: [
        {
          name: 'v1',
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description: 'A set.',
              required: ['spec'],
              properties: { spec, ...(status ? { status } : {}) },
            },
          },
        },
      ],
    },
  };
}

test('file names follow the kind, acronyms too', () => {
  assert.equal(fileNameOf('ModelVersion'), 'model-version');
  assert.equal(fileNameOf('GPUPool'), 'gpu-pool');
  assert.equal(fileNameOf('Model'), 'model');
});

test('required and defaulted fields are there, others may be absent; every shape has its type', () => {
  const types = typesOf(
    crd(
      {
        type: 'object',
        required: ['name'],
        properties: {
          name: { type: 'string', description: 'Its name. */ really' },
          count: { type: 'integer', default: 3 },
          size: { 'x-kubernetes-int-or-string': true },
          mode: { type: 'string', enum: ['a', "b'c"] },
          modes: { type: 'array', items: { type: 'string', enum: ['a', 'b'] } },
          labels: { type: 'object', additionalProperties: { type: 'string' } },
          free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
          parts: {
            type: 'array',
            items: { type: 'object', properties: { 'max-size': { type: 'number', nullable: true } } },
          },
        },
      },
      { type: 'object', properties: { part: { type: 'object', properties: { ok: { type: 'boolean' } } } } },
    ),
    'crds/widgetsets.yaml',
  );
  assert.equal(
    types,
    `// Generated from crds/widgetsets.yaml by scripts/generate.ts. Change that file and run \`npm run generate\`.

import type { ObjectMeta } from '../kubernetes.ts';

export const widgetSetResource = {
  group: 'example.dev',
  version: 'v1',
  plural: 'widgetsets',
  kind: 'WidgetSet',
  namespaced: true,
} as const;

/** A set. */
export interface WidgetSet {
  readonly apiVersion: 'example.dev/v1';
  readonly kind: 'WidgetSet';
  readonly metadata: ObjectMeta;
  readonly spec: WidgetSetSpec;
  readonly status?: WidgetSetStatus;
}

export interface WidgetSetSpec {
  /** Its name. * / really */
  readonly name: string;
  readonly count: number;
  readonly size?: string | number;
  readonly mode?: 'a' | 'b\\'c';
  readonly modes?: readonly ('a' | 'b')[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly free?: Readonly<Record<string, unknown>>;
  readonly parts?: readonly WidgetSetPart[];
}

export interface WidgetSetPart {
  readonly 'max-size'?: number | null;
}

export interface WidgetSetStatus {
  readonly part?: WidgetSetStatusPart;
}

export interface WidgetSetStatusPart {
  readonly ok?: boolean;
}
`,
  );
});

test('a schema without a counterpart is refused with its path', () => {
  const of = (field: Schema) => () => typesOf(crd({ type: 'object', properties: { x: field } }), 'f.yaml');
  assert.throws(of({}), /spec\.x: type \(absent\) has no TypeScript counterpart/);
  assert.throws(of({ type: 'array' }), /spec\.x: an array without items/);
  assert.throws(of({ type: 'object' }), /spec\.x: an object without properties would be pruned to nothing/);
});
