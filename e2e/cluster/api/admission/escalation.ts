/** Nobody gives away more than they have: roles and bindings may only grant what their author may do. */
import { type Authorizer, covers, type PolicyRule, rulesOf } from '../authz/authorizer.ts';
import { forbidden } from '../errors.ts';
import { type ApiObject, asObject, asString, at, equal } from '../json.ts';
import type { Call } from '../resource/call.ts';
import type { AdmissionPlugin } from './admission.ts';

const group = 'rbac.authorization.k8s.io';

/** Whether `own` rules together allow everything that `wanted` allows. */
function within(wanted: PolicyRule, own: readonly PolicyRule[]): boolean {
  for (const verb of wanted.verbs) {
    for (const path of wanted.nonResourceURLs) {
      const held = own.some(
        (rule) =>
          (rule.verbs.includes('*') || rule.verbs.includes(verb)) &&
          rule.nonResourceURLs.some(
            (url) => url === path || (url.endsWith('*') && path.startsWith(url.slice(0, -1))),
          ),
      );
      if (!held) return false;
    }
    for (const apiGroup of wanted.apiGroups) {
      for (const full of wanted.resources) {
        const [resource, subresource = ''] = full.split('/');
        const names = wanted.resourceNames.length > 0 ? wanted.resourceNames : [''];
        for (const name of names) {
          const attributes = { verb, group: apiGroup, resource: resource!, subresource, namespace: '', name };
          if (!own.some((rule) => covers(rule, attributes))) return false;
        }
      }
    }
  }
  return true;
}

function show(rule: PolicyRule): string {
  const part = (name: string, list: readonly string[]) =>
    list.length > 0 ? `${name}:[${list.map((each) => JSON.stringify(each)).join(' ')}]` : '';
  const parts = [
    part('APIGroups', rule.apiGroups),
    part('Resources', rule.resources),
    part('ResourceNames', rule.resourceNames),
    part('NonResourceURLs', rule.nonResourceURLs),
    part('Verbs', rule.verbs),
  ];
  return `{${parts.filter((each) => each !== '').join(', ')}}`;
}

export function escalationCheck(authorizer: Authorizer): AdmissionPlugin {
  const mayDo = (call: Call, verb: string, resource: string, name: string): boolean =>
    authorizer.allowed(call.user, {
      verb,
      group,
      resource,
      subresource: '',
      namespace: call.namespace ?? '',
      name,
    });

  const check = (call: Call, object: ApiObject, granted: readonly PolicyRule[]): void => {
    if (call.user.groups.includes('system:masters')) return;
    const own = authorizer.rules(call.user, call.namespace ?? '');
    const missing = granted.filter((rule) => !within(rule, own));
    if (missing.length === 0) return;
    const groups = call.user.groups.map((each) => JSON.stringify(each)).join(' ');
    const why = `user ${JSON.stringify(call.user.name)} (groups=[${groups}]) is attempting to grant RBAC permissions not currently held:\n${missing.map(show).join('\n')}`;
    throw forbidden(call.kind, object.metadata.name ?? '', why);
  };

  return {
    validate(call, operation, object, old) {
      if (operation === 'DELETE' || call.kind.group !== group) return;
      const name = object.metadata.name ?? '';
      if (call.kind.kind === 'Role' || call.kind.kind === 'ClusterRole') {
        if (
          old &&
          equal(old['rules'], object['rules']) &&
          equal(old['aggregationRule'], object['aggregationRule'])
        )
          return;
        if (mayDo(call, 'escalate', call.kind.resource, name)) return;
        check(call, object, rulesOf(object));
        return;
      }
      if (old && equal(old['subjects'], object['subjects'])) return;
      const reference = asObject(object['roleRef']);
      const resource = reference['kind'] === 'ClusterRole' ? 'clusterroles' : 'roles';
      if (mayDo(call, 'bind', resource, asString(at(reference, 'name')))) return;
      check(call, object, authorizer.resolve(reference, call.namespace ?? ''));
    },
  };
}
