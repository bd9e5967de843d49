/** Reviews: questions that are asked by creating an object which is never stored; and tokens of service accounts. */
import { issuer } from './auth/tokens.ts';
import type { Attributes } from './authz/authorizer.ts';
import { badRequest, field, invalid, notFound } from './errors.ts';
import type { App } from './http/app.ts';
import { asList, asObject, asString, at, isObject, type Json, type JsonObject, timestamp } from './json.ts';
import { apiVersion, type UserInfo } from './kinds/kind.ts';
import type { Call } from './resource/call.ts';

type Review = (app: App, call: Call, body: Json) => JsonObject;

function answer(call: Call, body: Json, status: JsonObject): JsonObject {
  const metadata = asObject(at(body, 'metadata'));
  const review: JsonObject = { kind: call.kind.kind, apiVersion: apiVersion(call.kind), metadata };
  const spec = at(body, 'spec');
  if (spec !== undefined) review['spec'] = spec;
  review['status'] = status;
  return review;
}

function userObject(user: UserInfo): JsonObject {
  const object: JsonObject = { username: user.name, groups: [...user.groups] };
  if (user.uid) object['uid'] = user.uid;
  if (user.extra && Object.keys(user.extra).length > 0) object['extra'] = { ...user.extra };
  return object;
}

function decide(app: App, user: UserInfo, spec: JsonObject): JsonObject {
  const path = spec['nonResourceAttributes'];
  let allowed: boolean;
  if (isObject(path)) {
    allowed = app.authorizer.allowedPath(user, {
      verb: asString(path['verb']),
      path: asString(path['path']),
    });
  } else {
    const wanted = asObject(spec['resourceAttributes']);
    const attributes: Attributes = {
      verb: asString(wanted['verb']),
      group: asString(wanted['group']),
      resource: asString(wanted['resource']),
      subresource: asString(wanted['subresource']),
      namespace: asString(wanted['namespace']),
      name: asString(wanted['name']),
    };
    allowed = app.authorizer.allowed(user, attributes);
  }
  return allowed ? { allowed, reason: 'RBAC: allowed by a binding' } : { allowed };
}

const selfAccess: Review = (app, call, body) =>
  answer(call, body, decide(app, call.user, asObject(at(body, 'spec'))));

const access: Review = (app, call, body) => {
  const spec = asObject(at(body, 'spec'));
  if (!spec['user'] && asList(spec['groups']).length === 0) {
    throw invalid(call.kind, '', [
      field.required('spec.user', 'at least one of user or group must be specified'),
    ]);
  }
  const user = { name: asString(spec['user']), groups: asList(spec['groups']).map(String) };
  return answer(call, body, decide(app, user, spec));
};

const rules: Review = (app, call, body) => {
  const namespace = asString(at(body, 'spec', 'namespace'));
  if (!namespace) throw badRequest('no namespace on request');
  const all = call.user.groups.includes('system:masters')
    ? [
        { verbs: ['*'], apiGroups: ['*'], resources: ['*'], resourceNames: [], nonResourceURLs: [] },
        { verbs: ['*'], apiGroups: [], resources: [], resourceNames: [], nonResourceURLs: ['*'] },
      ]
    : app.authorizer.rules(call.user, namespace);
  return answer(call, body, {
    resourceRules: all
      .filter((rule) => rule.resources.length > 0)
      .map((rule) => ({
        verbs: [...rule.verbs],
        apiGroups: [...rule.apiGroups],
        resources: [...rule.resources],
        ...(rule.resourceNames.length > 0 ? { resourceNames: [...rule.resourceNames] } : {}),
      })),
    nonResourceRules: all
      .filter((rule) => rule.nonResourceURLs.length > 0)
      .map((rule) => ({ verbs: [...rule.verbs], nonResourceURLs: [...rule.nonResourceURLs] })),
    incomplete: false,
  });
};

export const reviews: Readonly<Record<string, Review>> = {
  SelfSubjectReview: (_app, call, body) => answer(call, body, { userInfo: userObject(call.user) }),
  TokenReview(app, call, body) {
    const spec = asObject(at(body, 'spec'));
    const audiences = asList(spec['audiences']).map(String);
    const user = app.tokens.authenticate(
      asString(spec['token']),
      audiences.length > 0 ? audiences : [issuer],
    );
    if (!user) return answer(call, body, { user: {}, error: 'invalid bearer token' });
    return answer(call, body, {
      authenticated: true,
      user: userObject(user),
      audiences: audiences.length > 0 ? audiences : [issuer],
    });
  },
  SelfSubjectAccessReview: selfAccess,
  SubjectAccessReview: access,
  LocalSubjectAccessReview: access,
  SelfSubjectRulesReview: rules,
};

const shortest = 600;
const defaultSeconds = 3600;

/** The `token` subresource of service accounts. @throws StatusError 404 when the account or the bound object is missing */
export function requestToken(app: App, call: Call, body: Json): JsonObject {
  const account = call.core.store.bucket('/serviceaccounts').get(`${call.namespace}/${call.name}`);
  if (!account) throw notFound(call.kind, call.name!);
  const spec = asObject(at(body, 'spec'));
  const seconds = typeof spec['expirationSeconds'] === 'number' ? spec['expirationSeconds'] : defaultSeconds;
  const kind = { group: 'authentication.k8s.io', kind: 'TokenRequest' };
  if (seconds < shortest) {
    const error = field.invalid(
      'spec.expirationSeconds',
      seconds,
      'may not specify a duration less than 10 minutes',
    );
    throw invalid(kind, '', [error]);
  }
  const audiences = asList(spec['audiences']).map(String);
  const reference = asObject(spec['boundObjectRef']);
  const boundKind = asString(reference['kind']);
  let bound: { kind: string; name: string; uid: string } | undefined;
  if (boundKind) {
    if (!['Pod', 'Secret', 'Node'].includes(boundKind)) {
      const error = field.notSupported('spec.boundObjectRef.kind', boundKind, ['Pod', 'Secret', 'Node']);
      throw invalid(kind, '', [error]);
    }
    const resource = `${boundKind.toLowerCase()}s`;
    const name = asString(reference['name']);
    const key = boundKind === 'Node' ? name : `${call.namespace}/${name}`;
    const object = call.core.store.bucket(`/${resource}`).get(key);
    if (!object) throw notFound({ group: '', resource }, name);
    const uid = asString(reference['uid']);
    if (uid && uid !== object.metadata.uid) throw notFound({ group: '', resource }, name);
    bound = { kind: boundKind, name, uid: object.metadata.uid! };
  }
  const { token, expires } = app.tokens.issue({
    namespace: call.namespace!,
    name: call.name!,
    uid: account.metadata.uid!,
    audiences: audiences.length > 0 ? audiences : [issuer],
    expirationSeconds: seconds,
    bound,
  });
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name: call.name, namespace: call.namespace, creationTimestamp: timestamp(call.core.now()) },
    spec: { ...spec, audiences: audiences.length > 0 ? audiences : [issuer], expirationSeconds: seconds },
    status: { token, expirationTimestamp: timestamp(expires) },
  };
}
