/** The forms in which objects leave the server: themselves, their metadata only, or a table. */
import { type ApiObject, type JsonObject, textOf } from '../json.ts';
import { apiVersion, type Kind } from '../kinds/kind.ts';
import { printTable } from '../tables/table.ts';

export type Form =
  | { readonly type: 'object' }
  | { readonly type: 'metadata'; readonly version: string }
  | { readonly type: 'table'; readonly version: string; readonly include: string };

/** Items of lists of built-in kinds come without apiVersion and kind, as they do from Go's typed lists. */
function itemText(kind: Kind, object: ApiObject): string {
  const text = textOf(object);
  if (kind.custom) return text;
  const head = `{"apiVersion":${JSON.stringify(object.apiVersion)},"kind":${JSON.stringify(object.kind)},`;
  return text.startsWith(head) ? `{${text.slice(head.length)}` : text;
}

function partial(object: ApiObject, version: string): JsonObject {
  return { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${version}`, metadata: object.metadata };
}

export function formatOne(kind: Kind, object: ApiObject, form: Form): string {
  switch (form.type) {
    case 'object':
      return textOf(object);
    case 'metadata':
      return JSON.stringify(partial(object, form.version));
    case 'table': {
      const metadata = { resourceVersion: object.metadata.resourceVersion };
      return JSON.stringify(printTable(kind, [object], form, metadata, true));
    }
  }
}

export function formatList(
  kind: Kind,
  items: readonly ApiObject[],
  metadata: JsonObject,
  form: Form,
): string {
  switch (form.type) {
    case 'object': {
      const head = JSON.stringify({ kind: kind.listKind, apiVersion: apiVersion(kind), metadata }).slice(
        0,
        -1,
      );
      return `${head},"items":[${items.map((item) => itemText(kind, item)).join(',')}]}`;
    }
    case 'metadata':
      return JSON.stringify({
        kind: 'PartialObjectMetadataList',
        apiVersion: `meta.k8s.io/${form.version}`,
        metadata,
        items: items.map((item) => partial(item, form.version)),
      });
    case 'table':
      return JSON.stringify(printTable(kind, items, form, metadata, true));
  }
}

/** The object of a watch event. Only the first table of a stream carries the columns. */
export function formatEvent(kind: Kind, object: ApiObject, form: Form, first: boolean): string {
  if (form.type !== 'table') return formatOne(kind, object, form);
  const metadata = { resourceVersion: object.metadata.resourceVersion };
  return JSON.stringify(printTable(kind, [object], form, metadata, first));
}
