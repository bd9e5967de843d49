/** From a request body to an object of the kind: identity, unknown fields, types, pruning. */
import { badRequest, field, invalid, StatusError } from '../errors.ts';
import { type ApiObject, asObject, isObject, type JsonObject } from '../json.ts';
import { decodeBuiltin } from '../schema/fields.ts';
import { modelSchema } from '../schema/models.ts';
import { pruneUnknown } from '../schema/prune.ts';
import type { Call } from './call.ts';

interface Parsed {
  readonly object: ApiObject;
  readonly unknown: string[];
}

function parse(call: Call, body: JsonObject, asWritten: boolean): Parsed {
  const { kind } = call;
  let value: JsonObject;
  let unknown: string[];
  if (kind.custom) {
    ({ value, unknown } = pruneUnknown(body, kind.schema));
    const metadata = decodeBuiltin(
      asObject(body['metadata']),
      modelSchema('V1ObjectMeta'),
      kind.kind,
      kind.version,
      asWritten,
    );
    value['metadata'] = metadata.value;
    unknown.push(...metadata.unknown.map((path) => `metadata.${path}`));
  } else {
    ({ value, unknown } = decodeBuiltin(body, kind.schema, kind.kind, kind.version, asWritten));
  }
  if (!isObject(value['metadata'])) value['metadata'] = {};
  return { object: value as ApiObject, unknown: unknown.sort() };
}

function duplicated(paths: readonly string[]): string[] {
  return paths.map((path) => `duplicate field ${JSON.stringify(path)}`);
}

/**
 * @param duplicates keys that occurred twice in the body
 * @param patched the body is not what the client sent but what its patch made
 * @throws StatusError 400 on wrong types, and on unknown or double fields when the client asked for strict validation
 */
export function decodeObject(
  call: Call,
  body: JsonObject,
  duplicates: readonly string[] = [],
  patched = false,
): ApiObject {
  const { object, unknown } = parse(call, body, false);
  const problems = [
    ...unknown.map((path) => `unknown field ${JSON.stringify(path)}`),
    ...duplicated(duplicates),
  ];
  if (problems.length > 0) report(call, problems, patched ? body : undefined);
  return object;
}

/**
 * The configuration of a server-side apply, in which unknown fields are never let pass.
 * @throws StatusError 500 on unknown fields, which is what Kubernetes answers
 */
export function decodeApplied(call: Call, body: JsonObject, duplicates: readonly string[]): ApiObject {
  const { object, unknown } = parse(call, body, true);
  if (unknown.length > 0) {
    const { kind } = call;
    const what = kind.group
      ? `${kind.group}/${kind.version}, Kind=${kind.kind}`
      : `/${kind.version}, Kind=${kind.kind}`;
    const list = unknown.map((path) => `.${path}: field not declared in schema`);
    const text = list.length === 1 ? list[0] : `errors:\n${list.map((each) => `  ${each}`).join('\n')}`;
    const name = `${object.metadata.namespace ?? ''}/${call.name}`;
    throw new StatusError(500, '', `failed to create typed patch object (${name}; ${what}): ${text}`);
  }
  if (duplicates.length > 0) report(call, duplicated(duplicates), undefined);
  return object;
}

function report(call: Call, problems: readonly string[], patched: JsonObject | undefined): void {
  const validation = call.query.get('fieldValidation') || 'Warn';
  if (validation === 'Warn') call.warnings.push(...problems);
  if (validation !== 'Strict') return;
  const { kind, version } = call.kind;
  const text = `strict decoding error: ${problems.join(', ')}`;
  if (patched)
    throw invalid({ group: '', kind: '' }, '', [field.invalid('patch', JSON.stringify(patched), text)]);
  throw badRequest(`${kind} in version "${version}" cannot be handled as a ${kind}: ${text}`);
}

/** A merged object as it is stored: in the form in which Go would write it. */
export function normalized(call: Call, object: ApiObject): ApiObject {
  const { kind } = call;
  if (!kind.custom) return decodeBuiltin(object, kind.schema, kind.kind, kind.version).value as ApiObject;
  const metadata = decodeBuiltin(object.metadata, modelSchema('V1ObjectMeta'), kind.kind, kind.version);
  return { ...object, metadata: metadata.value };
}
