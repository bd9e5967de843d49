/** Which names a kind accepts. */
import type { Kind } from './kind.ts';
import { isLabel, isPathSegment, isSubdomain, type NameCheck } from './names.ts';

const isServiceName: NameCheck = (name) => (name.includes('.') ? ['must not contain dots'] : isLabel(name));

const special: Readonly<Record<string, NameCheck>> = {
  '/namespaces': isLabel,
  '/services': isServiceName,
  'rbac.authorization.k8s.io/roles': isPathSegment,
  'rbac.authorization.k8s.io/clusterroles': isPathSegment,
  'rbac.authorization.k8s.io/rolebindings': isPathSegment,
  'rbac.authorization.k8s.io/clusterrolebindings': isPathSegment,
};

export function nameCheck(kind: Kind): NameCheck {
  return special[`${kind.group}/${kind.resource}`] ?? isSubdomain;
}
