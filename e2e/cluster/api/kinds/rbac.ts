/** Roles and bindings: defaults and validation. Escalation is checked by `authz/escalation.ts`. */
import { type FieldError, field } from '../errors.ts';
import { type ApiObject, asList, asObjects, asString, at, child, equal, setDefault } from '../json.ts';
import type { Rules } from './kind.ts';

const rbacGroup = 'rbac.authorization.k8s.io';

function validateRules(object: ApiObject): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, rule] of asObjects(object['rules']).entries()) {
    const path = `rules[${index}]`;
    if (asList(rule['verbs']).length === 0) {
      errors.push(field.required(`${path}.verbs`, 'verbs must contain at least one value'));
    }
    if (asList(rule['nonResourceURLs']).length > 0) {
      if (object.kind === 'Role') {
        const why = 'namespaced rules cannot apply to non-resource URLs';
        errors.push(field.invalid(`${path}.nonResourceURLs`, rule['nonResourceURLs'], why));
      }
      continue;
    }
    if (asList(rule['apiGroups']).length === 0) {
      errors.push(field.required(`${path}.apiGroups`, 'resource rules must supply at least one api group'));
    }
    if (asList(rule['resources']).length === 0) {
      errors.push(field.required(`${path}.resources`, 'resource rules must supply at least one resource'));
    }
  }
  return errors;
}

function validateBinding(object: ApiObject): FieldError[] {
  const errors: FieldError[] = [];
  const kinds = object.kind === 'RoleBinding' ? ['Role', 'ClusterRole'] : ['ClusterRole'];
  const kind = asString(at(object, 'roleRef', 'kind'));
  if (!kinds.includes(kind)) errors.push(field.notSupported('roleRef.kind', kind, kinds));
  if (!asString(at(object, 'roleRef', 'name'))) errors.push(field.required('roleRef.name'));
  for (const [index, subject] of asObjects(object['subjects']).entries()) {
    const path = `subjects[${index}]`;
    if (!asString(subject['name'])) errors.push(field.required(`${path}.name`));
    const subjects = ['ServiceAccount', 'User', 'Group'];
    if (!subjects.includes(asString(subject['kind']))) {
      errors.push(field.notSupported(`${path}.kind`, subject['kind'], subjects));
    }
    if (subject['kind'] === 'ServiceAccount' && !asString(subject['namespace'])) {
      errors.push(field.required(`${path}.namespace`));
    }
  }
  return errors;
}

const roleRules: Rules = {
  default(object) {
    object['rules'] ??= null;
  },
  validate: validateRules,
};

const bindingRules: Rules = {
  default(object) {
    setDefault(child(object, 'roleRef'), 'apiGroup', rbacGroup);
    for (const subject of asObjects(object['subjects'])) {
      if (subject['kind'] === 'ServiceAccount') {
        if (object.kind === 'RoleBinding' && object.metadata.namespace) {
          setDefault(subject, 'namespace', object.metadata.namespace);
        }
      } else {
        setDefault(subject, 'apiGroup', rbacGroup);
      }
    }
  },
  validate: validateBinding,
  validateUpdate(object, old) {
    if (equal(object['roleRef'], old['roleRef'])) return [];
    return [field.invalid('roleRef', object['roleRef'] ?? null, 'cannot change roleRef')];
  },
};

export const rbacRules: Readonly<Record<string, Rules>> = {
  Role: roleRules,
  ClusterRole: roleRules,
  RoleBinding: bindingRules,
  ClusterRoleBinding: bindingRules,
};
