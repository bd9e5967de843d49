/** What the columns of the built-in kinds are made of. */
import { type ApiObject, asList, asObject, asObjects, asString, at, type Json } from '../json.ts';
import type { Column, TablePrinter } from '../kinds/kind.ts';
import { age } from './format.ts';

type Cell = string | number | boolean | null;
export type Reader = (object: ApiObject, now: number) => Cell;
export type Row = readonly [name: string, type: string, read: Reader, wide?: true];

/** A printer from rows; `Name` comes first by itself. */
export function printer(...rows: readonly Row[]): TablePrinter {
  const columns: Column[] = rows.map(([name, type, , wide]) => ({ name, type, priority: wide ? 1 : 0 }));
  return {
    columns: [{ name: 'Name', type: 'string', format: 'name' }, ...columns],
    cells: (object, now) => [object.metadata.name ?? '', ...rows.map(([, , read]) => read(object, now))],
  };
}

export const ageColumn: Row = ['Age', 'string', (object, now) => age(object.metadata.creationTimestamp, now)];

export function number(value: Json | undefined): number {
  return typeof value === 'number' ? value : 0;
}

export function text(value: Json | undefined): string {
  return value === undefined || value === null || value === '' ? '<none>' : String(value);
}

export function count(...path: string[]): Reader {
  return (object) => number(at(object, ...path));
}

export function value(...path: string[]): Reader {
  return (object) => text(at(object, ...path));
}

export function size(...path: string[]): Reader {
  return (object) => Object.keys(asObject(at(object, ...path))).length;
}

export function pairs(labels: Json | undefined): string {
  const list = Object.entries(asObject(labels)).map(([key, each]) => `${key}=${each}`);
  return list.length > 0 ? list.join(',') : '<none>';
}

/** A LabelSelector in the query-string syntax. */
export function selectorText(selector: Json | undefined): string {
  const parts = Object.entries(asObject(at(selector, 'matchLabels'))).map(([key, each]) => `${key}=${each}`);
  for (const expression of asObjects(at(selector, 'matchExpressions'))) {
    const key = asString(expression['key']);
    const values = asList(expression['values']).map(String).sort().join(',');
    const operator = asString(expression['operator']);
    if (operator === 'In') parts.push(`${key} in (${values})`);
    else if (operator === 'NotIn') parts.push(`${key} notin (${values})`);
    else parts.push(operator === 'Exists' ? key : `!${key}`);
  }
  return parts.length > 0 ? parts.join(',') : '<none>';
}

export function containers(...path: string[]): Row[] {
  const list = (object: ApiObject) => asObjects(at(object, ...path, 'spec', 'containers'));
  return [
    [
      'Containers',
      'string',
      (object) =>
        list(object)
          .map((each) => asString(each['name']))
          .join(','),
      true,
    ],
    [
      'Images',
      'string',
      (object) =>
        list(object)
          .map((each) => asString(each['image']))
          .join(','),
      true,
    ],
  ];
}

export const templateColumns: readonly Row[] = [
  ...containers('spec', 'template'),
  ['Selector', 'string', (object) => selectorText(at(object, 'spec', 'selector')), true],
];
