/** Events: one stored form (core/v1), shown in two API groups. */
import { type ApiObject, asObject, asString, type JsonObject } from '../json.ts';
import { metadataFields } from './kind.ts';

/** Field in core/v1 → field in events.k8s.io/v1, where the two differ. */
const renamed: readonly (readonly [core: string, events: string])[] = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['reportingComponent', 'reportingController'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
];

function rename(
  object: ApiObject,
  version: string,
  pairs: readonly (readonly [string, string])[],
): ApiObject {
  const names = new Map(pairs);
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(object)) result[names.get(key) ?? key] = value;
  return { ...result, apiVersion: version } as ApiObject;
}

export const eventConversion = {
  from: (stored: ApiObject) => rename(stored, 'events.k8s.io/v1', renamed),
  to: (object: ApiObject) =>
    rename(
      object,
      'v1',
      renamed.map(([core, events]) => [events, core] as const),
    ),
};

/** The selectable fields, of an event in either form. */
export function eventFields(object: ApiObject): { [field: string]: string } {
  const involved = asObject(object['involvedObject'] ?? object['regarding']);
  const source = asObject(object['source'] ?? object['deprecatedSource']);
  const fields: { [field: string]: string } = {
    ...metadataFields(object),
    reason: asString(object['reason']),
    type: asString(object['type']),
    reportingComponent: asString(object['reportingComponent'] ?? object['reportingController']),
    source: asString(source['component']),
  };
  for (const key of ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath']) {
    fields[`involvedObject.${key}`] = asString(involved[key]);
    fields[`regarding.${key}`] = asString(involved[key]);
  }
  return fields;
}
