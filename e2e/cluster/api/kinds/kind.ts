/**
 * What the server must know of a kind. A built-in kind is a row of `builtin.ts` with rules from its own file; a custom
 * resource becomes one in `custom.ts`. The generic handlers (`resource/`) do the rest.
 */
import type { FieldError, GroupResource } from '../errors.ts';
import type { ApiObject, JsonObject } from '../json.ts';
import type { Schema } from '../schema/schema.ts';
import type { SelectableFields } from '../store/selectors.ts';
import type { Store } from '../store/store.ts';

/** What rules may ask about the world while they prepare a write. */
export interface WriteContext {
  readonly store: Store;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  readonly serviceCidr: string;
  /** Adds a `Warning` header to the answer. */
  warn(message: string): void;
}

export interface UserInfo {
  readonly name: string;
  readonly uid?: string | undefined;
  readonly groups: readonly string[];
  readonly extra?: { readonly [key: string]: string[] } | undefined;
}

/** Rules of a kind. All of them may change `object` in place only where the name says so (`default`, `prepare`). */
export interface Rules {
  /** Fills in what clients and controllers rely on. Runs on every write. */
  default?(object: ApiObject): void;
  prepareCreate?(object: ApiObject, context: WriteContext): void;
  prepareUpdate?(object: ApiObject, old: ApiObject, context: WriteContext): void;
  /** Instead of "keep the spec, take the status", where a kind does more. */
  prepareStatus?(object: ApiObject, old: ApiObject, context: WriteContext): void;
  validate?(object: ApiObject, context: WriteContext): FieldError[];
  validateUpdate?(object: ApiObject, old: ApiObject, context: WriteContext): FieldError[];
  validateStatus?(object: ApiObject, old: ApiObject, context: WriteContext): FieldError[];
  /** Runs after the write is stored. */
  stored?(object: ApiObject | undefined, old: ApiObject | undefined): void;
}

/** Paths of the `scale` subresource, as dotted JSON paths without the leading dot. */
export interface ScalePaths {
  readonly spec: string;
  readonly status: string;
  readonly selector: string | undefined;
}

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  /** 0 shows always, 1 only with `-o wide`. */
  readonly priority?: number;
}

export interface TablePrinter {
  readonly columns: readonly Column[];
  /** Cells in the order of the columns. */
  cells(object: ApiObject, now: number): (string | number | boolean | null)[];
}

export interface Kind extends GroupResource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  /** Plural name. */
  readonly resource: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly string[];
  /** Where objects of this kind are kept; versions of one resource share it. */
  readonly bucket: string;
  readonly schema: Schema;
  /** Name of the schema in the published OpenAPI. */
  readonly definition: string;
  readonly subresources: readonly string[];
  /** Whether `metadata.generation` is kept. */
  readonly generation: boolean;
  readonly scale?: ScalePaths | undefined;
  readonly fields: SelectableFields;
  readonly printer?: TablePrinter | undefined;
  readonly rules: Rules;
  /** The CRD behind a custom resource. */
  readonly custom: boolean;
  /** From the stored to this version's form and back, where they differ in more than apiVersion. */
  readonly convert?: { from(stored: ApiObject): ApiObject; to(object: ApiObject): ApiObject } | undefined;
}

export function apiVersion(kind: { group: string; version: string }): string {
  return kind.group ? `${kind.group}/${kind.version}` : kind.version;
}

export function objectKey(kind: Kind, namespace: string | undefined, name: string): string {
  return kind.namespaced ? `${namespace}/${name}` : name;
}

/** The stored object as this version shows it. */
export function present(kind: Kind, stored: ApiObject): ApiObject {
  if (kind.convert) return kind.convert.from(stored);
  const version = apiVersion(kind);
  if (stored.apiVersion === version && stored.kind === kind.kind) return stored;
  return { ...stored, apiVersion: version, kind: kind.kind };
}

export function metadataFields(object: ApiObject): { [field: string]: string } {
  return {
    'metadata.name': object.metadata.name ?? '',
    'metadata.namespace': object.metadata.namespace ?? '',
  };
}

export const allVerbs: readonly string[] = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
];

export type SpecOf<T> = T extends { spec?: infer S } ? S & JsonObject : never;
