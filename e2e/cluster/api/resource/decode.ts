/** From a request body to an object of the kind: identity, unknown fields, types, pruning. */
import { badRequest } from '../errors.ts';
import { type ApiObject, asObject, isObject, type JsonObject } from '../json.ts';
import { decodeBuiltin } from '../schema/fields.ts';
import { modelSchema } from '../schema/models.ts';
import { pruneUnknown } from '../schema/prune.ts';
import type { Call } from './call.ts';

/**
 * @param duplicates keys that occurred twice in the body
 * @throws StatusError 400 on wrong types, and on unknown or double fields when the client asked for strict validation
 */
export function decodeObject(call: Call, body: JsonObject, duplicates: readonly string[] = []): ApiObject {
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
    );
    value['metadata'] = metadata.value;
    unknown.push(...metadata.unknown.map((path) => `metadata.${path}`));
  } else {
    ({ value, unknown } = decodeBuiltin(body, kind.schema, kind.kind, kind.version));
  }
  if (!isObject(value['metadata'])) value['metadata'] = {};
  report(call, [
    ...unknown.map((path) => `unknown field ${JSON.stringify(path)}`),
    ...duplicates.map((path) => `duplicate field ${JSON.stringify(path)}`),
  ]);
  return value as ApiObject;
}

function report(call: Call, problems: readonly string[]): void {
  if (problems.length === 0) return;
  const validation = call.query.get('fieldValidation') || 'Warn';
  if (validation === 'Strict') {
    const { kind, version } = call.kind;
    throw badRequest(
      `${kind} in version "${version}" cannot be handled as a ${kind}: strict decoding error: ${problems.join(', ')}`,
    );
  }
  if (validation === 'Warn') call.warnings.push(...problems);
}
