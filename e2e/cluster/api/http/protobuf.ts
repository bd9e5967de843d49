/**
 * Bodies in Kubernetes' protobuf, which typed clients (Helm's storage, `kubectl create`) send whatever the server says it
 * takes. They are only read; answers are JSON, which all clients accept.
 */
import { readFileSync } from 'node:fs';
import type { Json } from '../json.ts';

interface Field {
  readonly name: string;
  readonly type: string;
  readonly optional: boolean;
  readonly repeated: boolean;
  readonly map: boolean;
  /** A map's values are lists, each in a message of its own. */
  readonly wrapped: boolean;
}

type Message = ReadonlyMap<number, Field>;
type JsonObject = { [key: string]: Json };

/** What every body begins with. */
const magic = Buffer.from('k8s\0');

/** The messages of an API group, where that differs from the first part of its name. */
const packages: Readonly<Record<string, string>> = {
  '': 'core',
  'rbac.authorization.k8s.io': 'rbac',
  'authorization.k8s.io': 'authorization',
  'authentication.k8s.io': 'authentication',
};

let messages: ReadonlyMap<string, Message> | undefined;

/**
 * The object in a body.
 * @throws RangeError when it is malformed or of a kind that isn't known here
 */
export function decodeProtobuf(body: Uint8Array): JsonObject {
  if (!magic.equals(body.subarray(0, magic.length)))
    throw new RangeError('the body does not begin as protobuf does');
  let apiVersion = '';
  let kind = '';
  let raw: Uint8Array = new Uint8Array();
  for (const [number, value] of fieldsOf(body.subarray(magic.length))) {
    if (!(value instanceof Uint8Array)) continue;
    if (number === 2) raw = value;
    if (number !== 1) continue;
    for (const [part, text] of fieldsOf(value)) {
      if (!(text instanceof Uint8Array)) continue;
      if (part === 1) apiVersion = textOf(text);
      if (part === 2) kind = textOf(text);
    }
  }
  const message = messageOf(apiVersion, kind);
  if (message === undefined) throw new RangeError(`no protobuf is known for ${kind} in ${apiVersion}`);
  return { apiVersion, kind, ...decode(message, raw) };
}

function messageOf(apiVersion: string, kind: string): string | undefined {
  const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
  const own = `${packages[group] ?? group.split('.')[0]}.${kind}`;
  const candidates = kind === 'Scale' ? ['autoscalingv1.Scale'] : [own, `meta.${kind}`];
  return candidates.find((name) => known().has(name));
}

function decode(name: string, bytes: Uint8Array): JsonObject {
  const result: JsonObject = {};
  const message = known().get(name);
  for (const [number, value] of fieldsOf(bytes)) {
    const field = message?.get(number);
    if (field === undefined) continue;
    if (field.map) put(result, field, value);
    else if (field.repeated) {
      const list = (result[field.name] ?? []) as Json[];
      list.push(decodeValue(field.type, value) ?? null);
      result[field.name] = list;
    } else {
      const decoded = decodeValue(field.type, value);
      if (field.name === '^') Object.assign(result, decoded);
      // Fields that aren't optional are always there: then the empty value stands for none.
      else if (decoded !== undefined && (field.optional || !isEmpty(decoded))) result[field.name] = decoded;
    }
  }
  return result;
}

function put(result: JsonObject, field: Field, entry: bigint | Uint8Array): void {
  const map = (result[field.name] ?? {}) as JsonObject;
  result[field.name] = map;
  if (!(entry instanceof Uint8Array)) throw new RangeError(`field ${field.name} is no map`);
  let key = '';
  let value: Json = field.type === 'string' || field.type === 'bytes' ? '' : {};
  for (const [number, part] of fieldsOf(entry)) {
    if (number === 1 && part instanceof Uint8Array) key = textOf(part);
    if (number !== 2) continue;
    if (field.wrapped && part instanceof Uint8Array) {
      value = [...fieldsOf(part)].map(([, item]) => decodeValue(field.type, item) ?? null);
    } else value = decodeValue(field.type, part) ?? null;
  }
  map[key] = value;
}

function decodeValue(type: string, value: bigint | Uint8Array): Json | undefined {
  if (!(value instanceof Uint8Array)) {
    if (type === 'bool') return value !== 0n;
    if (type === 'int') return Number(BigInt.asIntN(64, value));
    throw new RangeError(`a number is no ${type}`);
  }
  switch (type) {
    case 'string':
      return textOf(value);
    case 'bytes':
      return Buffer.from(value).toString('base64');
    case 'double':
      return Buffer.from(value).readDoubleLE();
    case 'quantity':
      return partOf(value, 1, 'string');
    case 'raw': {
      const text = partOf(value, 1, 'string');
      return typeof text === 'string' && text !== '' ? (JSON.parse(text) as Json) : undefined;
    }
    case 'intstr':
      return partOf(value, 1, 'int') === 1
        ? (partOf(value, 3, 'string') ?? '')
        : (partOf(value, 2, 'int') ?? 0);
    case 'duration':
      return `${Number(partOf(value, 1, 'int') ?? 0) / 1e9}s`;
    case 'time':
    case 'microtime': {
      const seconds = partOf(value, 1, 'int');
      if (typeof seconds !== 'number') return undefined;
      const moment = new Date(seconds * 1000).toISOString().slice(0, 19);
      const micros = Math.floor(Number(partOf(value, 2, 'int') ?? 0) / 1000);
      return type === 'time' ? `${moment}Z` : `${moment}.${String(micros).padStart(6, '0')}Z`;
    }
    default:
      return decode(type, value);
  }
}

function partOf(bytes: Uint8Array, wanted: number, type: string): Json | undefined {
  for (const [number, value] of fieldsOf(bytes)) if (number === wanted) return decodeValue(type, value);
  return undefined;
}

function isEmpty(value: Json): boolean {
  if (typeof value !== 'object') return value === '' || value === 0 || value === false;
  return value !== null && Object.keys(value).length === 0;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}

/** The fields of a message in order: numbers as they are, everything else as bytes. */
function* fieldsOf(bytes: Uint8Array): Generator<[number: number, value: bigint | Uint8Array]> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at];
      if (byte === undefined) break;
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('the body ends within a number');
  };
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new RangeError('the body ends within a field');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = tag >>> 3;
    switch (tag & 7) {
      case 0:
        yield [number, varint()];
        break;
      case 1:
        yield [number, take(8)];
        break;
      case 2:
        yield [number, take(Number(varint()))];
        break;
      case 5:
        yield [number, take(4)];
        break;
      default:
        throw new RangeError(`the body has a field of the unknown form ${tag & 7}`);
    }
  }
}

/** Read on first use: most clusters never see protobuf. */
function known(): ReadonlyMap<string, Message> {
  messages ??= new Map(
    readFileSync(new URL('./wire-messages.txt', import.meta.url), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line): [string, Message] => {
        const [name = '', ...fields] = line.split(' ');
        return [name, new Map(fields.map(parseField))];
      }),
  );
  return messages;
}

function parseField(text: string): [number, Field] {
  const parsed = /^(\d+)=([^:]+):(\*?)(\[\]|\{\}(?:=\[\])?|)(.+)$/.exec(text);
  if (parsed === null) throw new Error(`wire-messages.txt: ${text}`);
  const [, number, name = '', star, many = '', type = ''] = parsed;
  return [
    Number(number),
    {
      name,
      type,
      optional: star === '*',
      repeated: many === '[]',
      map: many.startsWith('{}'),
      wrapped: many === '{}=[]',
    },
  ];
}
