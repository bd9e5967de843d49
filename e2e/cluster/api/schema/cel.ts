import type { FieldError } from '../errors.ts';
import type { ApiObject } from '../json.ts';
import type { Schema } from './schema.ts';

export function compileRules(_schema: Schema) {
  return { evaluate: (_object: ApiObject, _old: ApiObject | undefined): FieldError[] => [] };
}
export function checkRules(_schema: Schema, _path: string): FieldError[] {
  return [];
}
