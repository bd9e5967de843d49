/** RFC 6902. */
import { badRequest, StatusError } from '../errors.ts';
import { clone, equal, isObject, type Json, own, setOwn } from '../json.ts';

function unescapeToken(token: string): string {
  return token.replaceAll('~1', '/').replaceAll('~0', '~');
}

/** The real server keeps the reason to itself too; `cause` is for our own logs. */
function fail(reason: string): never {
  const error = new StatusError(
    422,
    'Invalid',
    'the server rejected our request due to an error in our request',
    {},
  );
  error.cause = reason;
  throw error;
}

function parsePointer(path: Json | undefined): string[] {
  if (typeof path !== 'string' || (path !== '' && !path.startsWith('/')))
    fail('a JSON pointer must start with /');
  return path === '' ? [] : path.slice(1).split('/').map(unescapeToken);
}

function index(list: readonly Json[], token: string, forInsert: boolean): number {
  if (token === '-' && forInsert) return list.length;
  const position = /^(0|[1-9]\d*)$/.test(token) ? Number(token) : Number.NaN;
  if (!(position < list.length + (forInsert ? 1 : 0))) fail(`index ${token} is out of bounds`);
  return position;
}

function lookUp(document: Json, path: readonly string[]): Json {
  let current = document;
  for (const token of path) {
    let next: Json | undefined;
    if (Array.isArray(current)) next = current[index(current, token, false)];
    else if (isObject(current)) next = own(current, token);
    if (next === undefined) fail(`the path /${path.join('/')} does not exist`);
    current = next;
  }
  return current;
}

function edit(
  document: Json,
  path: readonly string[],
  operation: 'add' | 'remove' | 'replace',
  value: Json,
): Json {
  if (path.length === 0) {
    if (operation === 'remove') fail('the whole document cannot be removed');
    return value;
  }
  const token = path[path.length - 1]!;
  const parent = lookUp(document, path.slice(0, -1));
  if (Array.isArray(parent)) {
    const position = index(parent, token, operation === 'add');
    if (operation === 'add') parent.splice(position, 0, value);
    else if (operation === 'remove') parent.splice(position, 1);
    else parent[position] = value;
  } else if (isObject(parent)) {
    if (operation !== 'add' && own(parent, token) === undefined)
      fail(`the path /${path.join('/')} does not exist`);
    if (operation === 'remove') delete parent[token];
    else setOwn(parent, token, value);
  } else {
    fail(`the path /${path.join('/')} does not exist`);
  }
  return document;
}

/** @throws StatusError 422 when an operation cannot be done, a `test` that fails included */
export function jsonPatch(target: Json, patch: Json): Json {
  if (!Array.isArray(patch)) throw badRequest('a JSON patch must be a list of operations');
  let document = clone(target);
  for (const operation of patch) {
    if (!isObject(operation)) throw badRequest('an operation of a JSON patch must be an object');
    const path = parsePointer(operation['path']);
    const value = operation['value'] === undefined ? null : clone(operation['value']);
    switch (operation['op']) {
      case 'add':
      case 'replace':
        document = edit(document, path, operation['op'], value);
        break;
      case 'remove':
        document = edit(document, path, 'remove', null);
        break;
      case 'copy':
        document = edit(document, path, 'add', clone(lookUp(document, parsePointer(operation['from']))));
        break;
      case 'move': {
        const from = parsePointer(operation['from']);
        const moved = lookUp(document, from);
        document = edit(edit(document, from, 'remove', null), path, 'add', moved);
        break;
      }
      case 'test':
        if (!equal(lookUp(document, path), value)) fail(`testing path /${path.join('/')} failed`);
        break;
      default:
        throw badRequest(`unknown operation ${JSON.stringify(operation['op'] ?? null)} in a JSON patch`);
    }
  }
  return document;
}
