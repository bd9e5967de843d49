/** What Kubernetes accepts as names, labels and annotations, with its messages. */
import { type FieldError, field } from '../errors.ts';
import { isObject, type Json, type ObjectMeta } from '../json.ts';

const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const labelPattern = new RegExp(`^${label}$`);
const subdomainPattern = new RegExp(`^${label}(\\.${label})*$`);
const dns1035Pattern = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const qualifiedPattern = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const valuePattern = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;

const tooLong = (most: number) => `must be no more than ${most} characters`;

/** Each check returns why the text is not accepted; nothing when it is. */
export type NameCheck = (name: string) => string[];

export const isLabel: NameCheck = (name) => {
  const why: string[] = [];
  if (name.length > 63) why.push(tooLong(63));
  if (!labelPattern.test(name)) {
    why.push(
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    );
  }
  return why;
};

export const isSubdomain: NameCheck = (name) => {
  const why: string[] = [];
  if (name.length > 253) why.push(tooLong(253));
  if (!subdomainPattern.test(name)) {
    why.push(
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    );
  }
  return why;
};

export const isDns1035Label: NameCheck = (name) => {
  const why: string[] = [];
  if (name.length > 63) why.push(tooLong(63));
  if (!dns1035Pattern.test(name)) {
    why.push(
      "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
    );
  }
  return why;
};

/** Names of roles and bindings: anything that is one path segment. */
export const isPathSegment: NameCheck = (name) => {
  if (name === '.' || name === '..') return [`may not be '${name}'`];
  const why: string[] = [];
  for (const part of ['/', '%']) if (name.includes(part)) why.push(`may not contain '${part}'`);
  return why;
};

export const isQualifiedName: NameCheck = (name) => {
  const parts = name.split('/');
  const why: string[] = [];
  const last = parts[parts.length - 1]!;
  if (parts.length > 2) {
    return [
      "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
    ];
  }
  if (parts.length === 2) {
    if (parts[0] === '') why.push('prefix part must be non-empty');
    else why.push(...isSubdomain(parts[0]!).map((each) => `prefix part ${each}`));
  }
  if (last === '') why.push('name part must be non-empty');
  else if (last.length > 63) why.push(`name part ${tooLong(63)}`);
  if (!qualifiedPattern.test(last)) {
    why.push(
      "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    );
  }
  return why;
};

export const isLabelValue: NameCheck = (value) => {
  const why: string[] = [];
  if (value.length > 63) why.push(tooLong(63));
  if (!valuePattern.test(value)) {
    why.push(
      "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    );
  }
  return why;
};

/** Labels as a map; used for metadata, selectors and templates. */
export function validateLabels(labels: Json | undefined, path: string): FieldError[] {
  if (!isObject(labels)) return [];
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(labels)) {
    for (const why of isQualifiedName(key)) errors.push(field.invalid(path, key, why));
    for (const why of isLabelValue(String(value))) errors.push(field.invalid(path, value, why));
  }
  return errors;
}

const annotationLimit = 256 * 1024;

function validateAnnotations(annotations: ObjectMeta['annotations'], path: string): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    for (const why of isQualifiedName(key.toLowerCase())) errors.push(field.invalid(path, key, why));
    size += key.length + value.length;
  }
  if (size > annotationLimit) errors.push(field.tooLong(path, annotationLimit));
  return errors;
}

export function validateMetadata(
  metadata: ObjectMeta,
  check: NameCheck,
  options: { namespaced: boolean },
): FieldError[] {
  const errors: FieldError[] = [];
  const name = metadata.name;
  if (!name) errors.push(field.required('metadata.name', 'name or generateName is required'));
  else for (const why of check(name)) errors.push(field.invalid('metadata.name', name, why));
  if (options.namespaced) {
    if (!metadata.namespace) errors.push(field.required('metadata.namespace'));
    else {
      for (const why of isLabel(metadata.namespace)) {
        errors.push(field.invalid('metadata.namespace', metadata.namespace, why));
      }
    }
  } else if (metadata.namespace) {
    errors.push(field.forbidden('metadata.namespace', 'not allowed on this type'));
  }
  errors.push(...validateLabels(metadata.labels, 'metadata.labels'));
  errors.push(...validateAnnotations(metadata.annotations, 'metadata.annotations'));
  for (const finalizer of metadata.finalizers ?? []) {
    for (const why of isQualifiedName(finalizer)) {
      errors.push(field.invalid('metadata.finalizers', finalizer, why));
    }
  }
  errors.push(...validateOwners(metadata));
  return errors;
}

function validateOwners(metadata: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  let controllers = 0;
  for (const [index, owner] of (metadata.ownerReferences ?? []).entries()) {
    const path = `metadata.ownerReferences[${index}]`;
    if (!owner.apiVersion) errors.push(field.invalid(`${path}.apiVersion`, '', 'version must not be empty'));
    if (!owner.kind) errors.push(field.invalid(`${path}.kind`, '', 'must not be empty'));
    if (!owner.name) errors.push(field.invalid(`${path}.name`, '', 'must not be empty'));
    if (!owner.uid) errors.push(field.invalid(`${path}.uid`, '', 'must not be empty'));
    if (owner.controller) controllers += 1;
  }
  if (controllers > 1) {
    const value = metadata.ownerReferences ?? [];
    const why =
      'Only one reference can have Controller set to true. Found "true" in references for several owners';
    errors.push(field.invalid('metadata.ownerReferences', value, why));
  }
  return errors;
}
