/** RBAC: may this user do this? Reads roles and bindings from the store, aggregated roles included. */
import { type ApiObject, asList, asObject, asObjects, asString, at } from '../json.ts';
import type { UserInfo } from '../kinds/kind.ts';
import { labelSelector } from '../store/selectors.ts';
import type { Store } from '../store/store.ts';

export interface Attributes {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

export interface PathAttributes {
  readonly verb: string;
  readonly path: string;
}

export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
  readonly nonResourceURLs: readonly string[];
}

const group = 'rbac.authorization.k8s.io';

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

export function rulesOf(role: ApiObject): PolicyRule[] {
  return asObjects(role['rules']).map((rule) => ({
    verbs: strings(rule['verbs']),
    apiGroups: strings(rule['apiGroups']),
    resources: strings(rule['resources']),
    resourceNames: strings(rule['resourceNames']),
    nonResourceURLs: strings(rule['nonResourceURLs']),
  }));
}

function has(list: readonly string[], value: string): boolean {
  return list.includes('*') || list.includes(value);
}

export function covers(rule: PolicyRule, wanted: Attributes): boolean {
  if (!has(rule.verbs, wanted.verb) || !has(rule.apiGroups, wanted.group)) return false;
  if (rule.resourceNames.length > 0 && !rule.resourceNames.includes(wanted.name)) return false;
  const { resource, subresource } = wanted;
  const full = subresource ? `${resource}/${subresource}` : resource;
  if (has(rule.resources, full)) return true;
  return subresource !== '' && rule.resources.includes(`*/${subresource}`);
}

function coversPath(rule: PolicyRule, wanted: PathAttributes): boolean {
  if (!has(rule.verbs, wanted.verb)) return false;
  return rule.nonResourceURLs.some((url) =>
    url.endsWith('*') ? wanted.path.startsWith(url.slice(0, -1)) : url === wanted.path,
  );
}

function isSubject(binding: ApiObject, user: UserInfo): boolean {
  return asObjects(binding['subjects']).some((subject) => {
    const name = asString(subject['name']);
    switch (subject['kind']) {
      case 'User':
        return user.name === name;
      case 'Group':
        return user.groups.includes(name);
      case 'ServiceAccount': {
        const namespace = asString(subject['namespace']) || asString(binding.metadata.namespace);
        return user.name === `system:serviceaccount:${namespace}:${name}`;
      }
      default:
        return false;
    }
  });
}

export class Authorizer {
  private readonly store: Store;
  private readonly clusterRoles = new Map<string, PolicyRule[]>();

  constructor(store: Store) {
    this.store = store;
    store.bucket(`${group}/clusterroles`).subscribe(() => this.clusterRoles.clear());
  }

  allowed(user: UserInfo, wanted: Attributes): boolean {
    if (user.groups.includes('system:masters')) return true;
    return this.rules(user, wanted.namespace).some((rule) => covers(rule, wanted));
  }

  allowedPath(user: UserInfo, wanted: PathAttributes): boolean {
    if (user.groups.includes('system:masters')) return true;
    return this.rules(user, '').some((rule) => coversPath(rule, wanted));
  }

  /** All rules that apply to a user: the cluster-wide ones and, given a namespace, those within it. */
  rules(user: UserInfo, namespace: string): PolicyRule[] {
    const found: PolicyRule[] = [];
    for (const binding of this.store.bucket(`${group}/clusterrolebindings`).items.values()) {
      if (isSubject(binding, user)) found.push(...this.clusterRole(asString(at(binding, 'roleRef', 'name'))));
    }
    if (!namespace) return found;
    for (const binding of this.store.bucket(`${group}/rolebindings`).list(`${namespace}/`)) {
      if (isSubject(binding, user)) found.push(...this.resolve(asObject(binding['roleRef']), namespace));
    }
    return found;
  }

  /** The rules behind a `roleRef`. */
  resolve(reference: { [key: string]: unknown }, namespace: string): PolicyRule[] {
    const name = String(reference['name'] ?? '');
    if (reference['kind'] === 'ClusterRole') return this.clusterRole(name);
    const role = this.store.bucket(`${group}/roles`).get(`${namespace}/${name}`);
    return role ? rulesOf(role) : [];
  }

  private clusterRole(name: string): PolicyRule[] {
    const cached = this.clusterRoles.get(name);
    if (cached) return cached;
    const bucket = this.store.bucket(`${group}/clusterroles`);
    const role = bucket.get(name);
    if (!role) return [];
    // Set before descending, so that roles that select each other end.
    const rules = rulesOf(role);
    this.clusterRoles.set(name, rules);
    for (const selector of asList(at(role, 'aggregationRule', 'clusterRoleSelectors'))) {
      const matches = labelSelector(selector);
      for (const other of bucket.items.values()) {
        if (other !== role && matches(other.metadata.labels ?? {})) {
          rules.push(...this.clusterRole(other.metadata.name!));
        }
      }
    }
    return rules;
  }
}
