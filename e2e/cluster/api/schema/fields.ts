/**
 * Decoding of a body under the schema of a built-in kind: fields that the schema does not name are dropped and reported,
 * values of the wrong type are refused, nulls vanish, all as Go's decoder does it.
 */
import { badRequest } from '../errors.ts';
import { isObject, type Json, type JsonObject, setOwn } from '../json.ts';
import { parseQuantity } from '../quantity.ts';
import { deref, keepsUnknown, memberSchema, type Schema } from './schema.ts';

export interface Decoded {
  readonly value: JsonObject;
  /** Paths of the fields that were dropped. */
  readonly unknown: string[];
  /** How many empty maps and lists there were. */
  readonly empties: number;
}

/** Where the decoder is. */
interface Place {
  /** `spec.containers[0].image` */
  readonly path: string;
  /** `Container.spec.containers.image`, as Go tells of a wrong type. */
  readonly field: string;
  /** The innermost Go struct. */
  readonly struct: string;
}

class Decoder {
  readonly unknown: string[] = [];
  empties = 0;
  private readonly asWritten: boolean;
  private readonly kind: string;
  private readonly version: string;

  constructor(kind: string, version: string, asWritten: boolean) {
    this.asWritten = asWritten;
    this.kind = kind;
    this.version = version;
  }

  fail(problem: string): never {
    throw badRequest(
      `${this.kind} in version "${this.version}" cannot be handled as a ${this.kind}: ${problem}`,
    );
  }

  mismatch(value: Json, place: Place, type: string): never {
    const got = typeof value === 'number' && type.startsWith('int') ? `number ${value}` : goName(value);
    return this.fail(
      `json: cannot unmarshal ${got} into Go struct field ${place.struct}.${place.field} of type ${type}`,
    );
  }

  decode(value: Json, reference: Schema | undefined, place: Place): Json {
    const schema = deref(reference);
    if (!schema || (keepsUnknown(schema) && !schema.properties)) return value;
    if (schema['x-kubernetes-int-or-string']) return this.intOrString(value, schema, place);
    switch (schema.type) {
      case 'string':
        return this.text(value, schema, place);
      case 'integer':
        if (typeof value !== 'number' || !Number.isInteger(value))
          this.mismatch(value, place, schema.format ?? 'int32');
        return value;
      case 'number':
        return typeof value === 'number' ? value : this.mismatch(value, place, 'float64');
      case 'boolean':
        return typeof value === 'boolean' ? value : this.mismatch(value, place, 'bool');
      case 'array':
        if (!Array.isArray(value)) this.mismatch(value, place, `[]${goType(schema.items)}`);
        return value.map((item, index) =>
          this.decode(item, schema.items, {
            ...place,
            path: `${place.path}[${index}]`,
            struct: structOf(schema.items, place),
          }),
        );
      default:
        return this.members(value, schema, { ...place, struct: structOf(reference, place) });
    }
  }

  private intOrString(value: Json, schema: Schema, place: Place): Json {
    const port = schema.format === 'int-or-string';
    if (typeof value !== 'string' && typeof value !== 'number') {
      this.mismatch(value, place, port ? 'intstr.IntOrString' : 'resource.Quantity');
    }
    if (port) return value;
    if (parseQuantity(value) === undefined) {
      this.fail(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
      );
    }
    // Ownership compares what was written, number or text.
    if (this.asWritten) return value;
    return String(value);
  }

  private text(value: Json, schema: Schema, place: Place): Json {
    if (typeof value !== 'string') this.mismatch(value, place, 'string');
    if (schema.format === 'date-time' && Number.isNaN(Date.parse(value))) {
      const shown = JSON.stringify(value);
      this.fail(`parsing time ${shown} as "2006-01-02T15:04:05Z07:00": cannot parse ${shown} as "2006"`);
    }
    if (schema.format === 'byte') {
      const wrong = /[^A-Za-z0-9+/=\r\n]/.exec(value);
      if (wrong) this.fail(`illegal base64 data at input byte ${wrong.index}`);
      if (value.replaceAll(/[\r\n]/g, '').length % 4 !== 0)
        this.fail(`illegal base64 data at input byte ${value.length - 1}`);
    }
    return value;
  }

  private members(value: Json, schema: Schema, place: Place): Json {
    if (!isObject(value)) this.mismatch(value, place, goType(schema));
    const result: JsonObject = {};
    for (const [key, member] of Object.entries(value)) {
      if (member === undefined || member === null) continue;
      const below = memberSchema(schema, key);
      const path = place.path === '' ? key : `${place.path}.${key}`;
      if (!below) {
        if (place.path === '' && (key === 'apiVersion' || key === 'kind')) setOwn(result, key, member);
        else this.unknown.push(path);
        continue;
      }
      // Keys of maps are not part of Go's field paths.
      const named = schema.properties !== undefined;
      const field = !named ? place.field : place.field === '' ? key : `${place.field}.${key}`;
      const decoded = this.decode(member, below, { path, field, struct: place.struct });
      if (isEmpty(decoded, below) && !schema.required?.includes(key) && key !== 'rules') {
        this.empties += 1;
        if (!this.asWritten) continue;
      }
      setOwn(result, key, decoded);
    }
    return result;
  }
}

/** Empty maps and lists, which Go leaves out of what it encodes unless the field is required. */
function isEmpty(value: Json, reference: Schema): boolean {
  if (Array.isArray(value)) return value.length === 0 && deref(reference)?.type === 'array';
  const schema = deref(reference);
  const map = schema?.additionalProperties !== undefined && schema.properties === undefined;
  return map && isObject(value) && Object.keys(value).length === 0;
}

function goName(value: Json): string {
  if (Array.isArray(value)) return 'array';
  if (isObject(value)) return 'object';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

function definition(schema: Schema | undefined): string | undefined {
  const name = schema?.$ref?.slice(schema.$ref.lastIndexOf('.') + 1);
  return name === undefined || name === '' ? undefined : name;
}

function structOf(schema: Schema | undefined, place: Place): string {
  return definition(schema) ?? place.struct;
}

function goType(schema: Schema | undefined): string {
  const name = definition(schema);
  if (name) return `v1.${name}`;
  switch (schema?.type) {
    case 'integer':
      return schema.format ?? 'int32';
    case 'boolean':
      return 'bool';
    case 'object':
      return schema.properties
        ? 'struct'
        : `map[string]${goType(schema.additionalProperties as Schema | undefined)}`;
    default:
      return schema?.type ?? 'interface {}';
  }
}

/**
 * @param asWritten keeps empty maps and lists, and quantities as numbers, which count where ownership is at stake
 * @throws StatusError 400 when a value has the wrong type
 */
export function decodeBuiltin(
  object: JsonObject,
  schema: Schema,
  kind: string,
  version: string,
  asWritten = false,
): Decoded {
  const decoder = new Decoder(kind, version, asWritten);
  const value = decoder.decode(object, schema, { path: '', field: '', struct: kind });
  return { value: value as JsonObject, unknown: decoder.unknown, empties: decoder.empties };
}
