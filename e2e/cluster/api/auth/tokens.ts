/** Bearer tokens: random ones for people and components, signed ones for service accounts. */
import { createHash, type KeyObject, randomBytes, sign, verify } from 'node:crypto';
import { type ApiObject, isObject, type JsonObject } from '../json.ts';
import type { UserInfo } from '../kinds/kind.ts';
import type { Store } from '../store/store.ts';

export const issuer = 'https://kubernetes.default.svc.cluster.local';

/** Groups that a component's user belongs to besides `system:authenticated`. */
function componentGroups(user: string): string[] {
  if (user === 'admin' || user === 'kubernetes-admin') return ['system:masters'];
  if (user.startsWith('system:node:')) return ['system:nodes'];
  return [];
}

export interface TokenBinding {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  readonly bound?: { readonly kind: string; readonly name: string; readonly uid: string } | undefined;
}

function base64url(value: JsonObject): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

export class Tokens {
  private readonly known = new Map<string, UserInfo>();
  private readonly byUser = new Map<string, string>();
  private readonly store: Store;
  private readonly key: KeyObject;
  private readonly publicKey: KeyObject;
  readonly keyId: string;

  constructor(store: Store, key: KeyObject, publicKey: KeyObject) {
    this.store = store;
    this.key = key;
    this.publicKey = publicKey;
    this.keyId = createHash('sha256')
      .update(publicKey.export({ type: 'spki', format: 'der' }))
      .digest('base64url');
  }

  /** The token of a user (`admin`, `system:kube-scheduler`, `system:node:gpu-1`, …) or `system:serviceaccount:ns:name`. */
  tokenFor(user: string): string {
    const [, kind, namespace, name] = user.split(':');
    if (kind === 'serviceaccount' && namespace && name) {
      const account = this.store.bucket('/serviceaccounts').get(`${namespace}/${name}`);
      if (!account) throw new Error(`there is no service account ${namespace}/${name}`);
      return this.issue({
        namespace,
        name,
        uid: account.metadata.uid!,
        audiences: [issuer],
        expirationSeconds: 24 * 3600,
      }).token;
    }
    let token = this.byUser.get(user);
    if (!token) {
      token = randomBytes(32).toString('base64url');
      this.byUser.set(user, token);
      this.known.set(token, {
        name: user === 'admin' ? 'kubernetes-admin' : user,
        groups: [...componentGroups(user), 'system:authenticated'],
      });
    }
    return token;
  }

  issue(binding: TokenBinding): { token: string; expires: Date } {
    const now = Math.floor(Date.now() / 1000);
    const expires = now + binding.expirationSeconds;
    const kubernetes: JsonObject = {
      namespace: binding.namespace,
      serviceaccount: { name: binding.name, uid: binding.uid },
    };
    if (binding.bound) {
      kubernetes[binding.bound.kind.toLowerCase()] = { name: binding.bound.name, uid: binding.bound.uid };
    }
    const head = base64url({ alg: 'RS256', kid: this.keyId });
    const body = base64url({
      aud: [...binding.audiences],
      exp: expires,
      iat: now,
      iss: issuer,
      jti: randomBytes(16).toString('hex'),
      'kubernetes.io': kubernetes,
      nbf: now,
      sub: `system:serviceaccount:${binding.namespace}:${binding.name}`,
    });
    const signature = sign('sha256', Buffer.from(`${head}.${body}`), this.key).toString('base64url');
    return { token: `${head}.${body}.${signature}`, expires: new Date(expires * 1000) };
  }

  /** Who a token speaks for; undefined when it is unknown, expired, or its account or pod is gone. */
  authenticate(token: string, audiences: readonly string[] = [issuer]): UserInfo | undefined {
    const known = this.known.get(token);
    if (known) return known;
    const [head, body, signature] = token.split('.');
    if (!head || !body || !signature) return undefined;
    const data = Buffer.from(`${head}.${body}`);
    if (!verify('sha256', data, this.publicKey, Buffer.from(signature, 'base64url'))) return undefined;
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as JsonObject;
    if (typeof claims['exp'] !== 'number' || claims['exp'] * 1000 < Date.now()) return undefined;
    const accepted =
      Array.isArray(claims['aud']) && claims['aud'].some((each) => audiences.includes(String(each)));
    return accepted ? this.account(claims) : undefined;
  }

  private account(claims: JsonObject): UserInfo | undefined {
    const kubernetes = claims['kubernetes.io'];
    if (!isObject(kubernetes) || !isObject(kubernetes['serviceaccount'])) return undefined;
    const namespace = String(kubernetes['namespace']);
    const { name, uid } = kubernetes['serviceaccount'];
    const account = this.store.bucket('/serviceaccounts').get(`${namespace}/${name}`);
    if (account?.metadata.uid !== uid) return undefined;
    const extra: { [key: string]: string[] } = {};
    for (const kind of ['pod', 'secret', 'node']) {
      const bound = kubernetes[kind];
      if (!isObject(bound)) continue;
      const key = kind === 'node' ? String(bound['name']) : `${namespace}/${bound['name']}`;
      const object: ApiObject | undefined = this.store.bucket(`/${kind}s`).get(key);
      if (object?.metadata.uid !== bound['uid']) return undefined;
      extra[`authentication.kubernetes.io/${kind}-name`] = [String(bound['name'])];
      extra[`authentication.kubernetes.io/${kind}-uid`] = [String(bound['uid'])];
    }
    return {
      name: `system:serviceaccount:${namespace}:${name}`,
      uid: String(uid),
      groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
      extra,
    };
  }

  /** The public key as a JSON Web Key Set. */
  keys(): JsonObject {
    const key = this.publicKey.export({ format: 'jwk' });
    return { keys: [{ use: 'sig', kty: 'RSA', kid: this.keyId, alg: 'RS256', n: key.n, e: key.e }] };
  }
}
