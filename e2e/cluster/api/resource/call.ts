/** One request for a resource, resolved: which kind, which object, who asks, and with which options. */
import { randomInt } from 'node:crypto';
import type { Admission } from '../admission/admission.ts';
import { badRequest, field, invalid } from '../errors.ts';
import type { ApiObject, Json, JsonObject } from '../json.ts';
import { apiVersion, type Kind, type UserInfo, type WriteContext } from '../kinds/kind.ts';
import type { Registry } from '../kinds/registry.ts';
import type { Store } from '../store/store.ts';

/** What all requests share. */
export interface Core {
  readonly store: Store;
  readonly registry: Registry;
  readonly admission: Admission;
  readonly serviceCidr: string;
  /** Whether `user` may do this; used by checks inside writes, such as those against escalation. */
  now(): Date;
}

export interface Call {
  readonly core: Core;
  readonly kind: Kind;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string;
  readonly user: UserInfo;
  readonly query: URLSearchParams;
  readonly userAgent: string;
  readonly warnings: string[];
}

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE';

export function isDryRun(call: Call): boolean {
  const values = call.query.getAll('dryRun');
  for (const value of values) {
    if (value !== 'All') {
      const options = { group: 'meta.k8s.io', kind: 'CreateOptions' };
      throw invalid(options, '', [field.notSupported('dryRun', value, ['All'])]);
    }
  }
  return values.length > 0;
}

export function writeContext(call: Call): WriteContext {
  return {
    store: call.core.store,
    user: call.user,
    dryRun: isDryRun(call),
    serviceCidr: call.core.serviceCidr,
    warn: (message) => call.warnings.push(message),
  };
}

/** The field manager: what the client says, else the first word of its user agent. */
export function managerOf(call: Call): string {
  const manager = call.query.get('fieldManager');
  if (manager) {
    if (manager.length > 128) throw badRequest('fieldManager may not be longer than 128 characters');
    return manager;
  }
  return call.userAgent.split('/')[0]!.slice(0, 128) || 'unknown';
}

/** @throws StatusError 400 when the body is for another kind */
export function checkIdentity(
  body: Json,
  kind: { kind: string; group: string; version: string },
): JsonObject {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw badRequest(`the object provided is unrecognized (must be of type ${kind.kind})`);
  }
  const version = apiVersion(kind);
  const got = { apiVersion: body['apiVersion'] || version, kind: body['kind'] || kind.kind };
  if (got.apiVersion !== version || got.kind !== kind.kind) {
    throw badRequest(
      `the API version in the data (${got.apiVersion}) does not match the expected API version (${version})`.concat(
        got.kind === kind.kind ? '' : ` or kind: ${got.kind} is not ${kind.kind}`,
      ),
    );
  }
  return { ...body, ...got };
}

const nameLetters = 'bcdfghjklmnpqrstvwxz2456789';

/** `generateName` and five random letters. */
export function generateName(prefix: string): string {
  let suffix = '';
  for (let index = 0; index < 5; index += 1) suffix += nameLetters[randomInt(nameLetters.length)];
  return prefix.slice(0, 58) + suffix;
}

export function sameStoredKind(object: ApiObject, kind: Kind): boolean {
  return object.kind === kind.kind && object.apiVersion === apiVersion(kind);
}
