/** Events: one stored form (core/v1), shown in two API groups. */
import { type FieldError, field } from '../errors.ts';
import { type ApiObject, asObject, asString, type JsonObject } from '../json.ts';
import { metadataFields, type Rules } from './kind.ts';
import { isQualifiedName } from './names.ts';

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

const mostName = 128;
const mostNote = 1024;

/** What events must hold since they have an `eventTime`: who reports, what was done, and why. */
function validateReport(event: ApiObject, note: string, controller: string): FieldError[] {
  const errors: FieldError[] = [];
  const name = asString(event[controller]);
  if (!name) errors.push(field.required('reportingController'));
  for (const why of name ? isQualifiedName(name) : [])
    errors.push(field.invalid('reportingController', name, why));
  for (const key of ['reportingInstance', 'action', 'reason']) {
    const value = asString(event[key]);
    if (!value) errors.push(field.required(key));
    else if (value.length > mostName) {
      errors.push(field.invalid(key, '', `can have at most ${mostName} characters`));
    }
  }
  if (Buffer.byteLength(asString(event[note])) > mostNote) {
    errors.push(field.invalid('message', '', `can have at most ${mostNote} characters`));
  }
  return errors;
}

function validateNamespace(event: ApiObject, about: string): FieldError[] {
  const namespace = asString(asObject(event[about])['namespace']);
  const own = event.metadata.namespace ?? '';
  const fits = namespace === '' ? own === 'default' || own === 'kube-system' : namespace === own;
  if (fits) return [];
  return [field.invalid('involvedObject.namespace', namespace, 'does not match event.namespace')];
}

/** Rules of both forms of the kind `Event`; they tell them apart by the version. */
export const eventRules: Readonly<Record<string, Rules>> = {
  Event: {
    default(event) {
      if (event.apiVersion !== 'v1') return;
      event['eventTime'] ??= null;
      for (const key of ['reportingComponent', 'reportingInstance']) event[key] ??= '';
    },
    validate(event) {
      const core = event.apiVersion === 'v1';
      const errors = validateNamespace(event, core ? 'involvedObject' : 'regarding');
      const timed = asString(event['eventTime']) !== '';
      if (timed) {
        errors.push(
          ...(core
            ? validateReport(event, 'message', 'reportingComponent')
            : validateReport(event, 'note', 'reportingController')),
        );
      }
      if (core) return errors;
      if (!timed) errors.push(field.required('eventTime'));
      const type = asString(event['type']);
      if (type !== 'Normal' && type !== 'Warning') {
        errors.push(field.invalid('type', '', `has invalid value: ${type}`));
      }
      return errors;
    },
  },
};
