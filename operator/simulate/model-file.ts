/** A Model as somebody wrote it, filled in as the API server would. */

import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import type { ModelSpec } from '../api/generated/model.ts';

const crd = new URL('../../crds/models.sluice.dev.yaml', import.meta.url);

interface Definition {
  readonly spec: {
    readonly versions: readonly {
      readonly schema: { readonly openAPIV3Schema: { readonly properties: { readonly spec: object } } };
    }[];
  };
}

/**
 * Reads the spec of a Model and adds the CRD's defaults.
 *
 * @throws Error that names the field which the CRD's schema does not allow
 */
export function readModel(text: string): ModelSpec {
  const document: unknown = parse(text);
  const given = (document ?? {}) as { kind?: unknown; spec?: unknown };
  if (given.kind !== 'Model') throw new Error(`kind: ${JSON.stringify(given.kind)} is not Model`);
  const definition = parse(readFileSync(crd, 'utf8')) as Definition;
  const schema = definition.spec.versions[0]!.schema.openAPIV3Schema.properties.spec;
  // Formats and the x-kubernetes keywords are the API server's.
  const ajv = new Ajv({ strict: false, useDefaults: true, validateFormats: false });
  const validate = ajv.compile<ModelSpec>(schema);
  const spec: unknown = structuredClone(given.spec ?? {});
  if (validate(spec)) return spec;
  const [error] = validate.errors ?? [];
  const field = `spec${(error?.instancePath ?? '').replaceAll('/', '.')}`;
  throw new Error(`${field} ${error?.message ?? 'is not allowed'}`);
}
