/** Who is asking: a bearer token, or nobody; and whom they say they act as. */
import type { IncomingMessage } from 'node:http';
import { forbidden } from '../errors.ts';
import type { UserInfo } from '../kinds/kind.ts';
import type { App } from './app.ts';

const anonymous: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

/** Undefined when a token was sent that is not valid. */
export function authenticate(app: App, request: IncomingMessage): UserInfo | undefined {
  const match = /^bearer\s+(\S+)$/i.exec(request.headers.authorization ?? '');
  if (!match) return request.headers.authorization ? undefined : anonymous;
  const user = app.tokens.authenticate(match[1]!);
  return user && impersonate(app, user, request);
}

function header(request: IncomingMessage, name: string): string[] {
  const values: string[] = [];
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    if (request.rawHeaders[index]!.toLowerCase() === name) values.push(request.rawHeaders[index + 1]!);
  }
  return values;
}

function impersonate(app: App, user: UserInfo, request: IncomingMessage): UserInfo {
  const [name] = header(request, 'impersonate-user');
  if (!name) return user;
  const groups = header(request, 'impersonate-group');
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  const needed = [
    account
      ? { resource: 'serviceaccounts', namespace: account[1]!, name: account[2]! }
      : { resource: 'users', namespace: '', name },
    ...groups.map((group) => ({ resource: 'groups', namespace: '', name: group })),
  ];
  for (const each of needed) {
    const wanted = { verb: 'impersonate', group: '', subresource: '', ...each };
    if (!app.authorizer.allowed(user, wanted)) {
      const why = `User ${JSON.stringify(user.name)} cannot impersonate resource ${JSON.stringify(each.resource)} in API group "" at the cluster scope`;
      throw forbidden({ group: '', resource: each.resource }, each.name, why);
    }
  }
  if (groups.length === 0 && account)
    groups.push('system:serviceaccounts', `system:serviceaccounts:${account[1]}`);
  if (name !== 'system:anonymous' && !groups.includes('system:authenticated'))
    groups.push('system:authenticated');
  return { name, groups };
}
