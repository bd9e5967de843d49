/** `kubectl get` output: Table objects from a kind's columns. */
import type { ApiObject, JsonObject } from '../json.ts';
import type { Column, Kind, TablePrinter } from '../kinds/kind.ts';
import { age } from './format.ts';

const fallback: TablePrinter = {
  columns: [
    { name: 'Name', type: 'string', format: 'name' },
    { name: 'Created At', type: 'date' },
  ],
  cells: (object) => [object.metadata.name ?? '', object.metadata.creationTimestamp ?? ''],
};

function definition(column: Column): JsonObject {
  return {
    name: column.name,
    type: column.type,
    format: column.format ?? '',
    description: column.description ?? '',
    priority: column.priority ?? 0,
  };
}

/** A table of `items`; `include` says what of each object rides along: None, Metadata or Object. */
export function printTable(
  kind: Kind,
  items: readonly ApiObject[],
  form: { readonly version: string; readonly include: string },
  metadata: JsonObject,
  withColumns: boolean,
): JsonObject {
  const printer = kind.printer ?? fallback;
  const now = Date.now();
  const table: JsonObject = { kind: 'Table', apiVersion: `meta.k8s.io/${form.version}`, metadata };
  if (withColumns) table['columnDefinitions'] = printer.columns.map(definition);
  else table['columnDefinitions'] = null;
  // A bookmark carries a revision and nothing to print.
  table['rows'] = items.map((object) => {
    const row: JsonObject = { cells: object.metadata.name ? printer.cells(object, now) : [] };
    if (form.include === 'Object') row['object'] = object;
    else if (form.include !== 'None') {
      row['object'] = {
        kind: 'PartialObjectMetadata',
        apiVersion: `meta.k8s.io/${form.version}`,
        metadata: object.metadata,
      };
    }
    return row;
  });
  return table;
}

/** The columns and cells of a CRD's `additionalPrinterColumns`. */
export function customPrinter(
  columns: readonly { column: Column; read: (object: ApiObject) => string | number | boolean | null }[],
): TablePrinter {
  return {
    columns: [{ name: 'Name', type: 'string', format: 'name' }, ...columns.map((each) => each.column)],
    cells: (object, now) => [
      object.metadata.name ?? '',
      ...columns.map(({ column, read }) => {
        const value = read(object);
        return column.type === 'date' && typeof value === 'string' ? age(value, now) : value;
      }),
    ],
  };
}
