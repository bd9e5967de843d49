/**
 * PURE: what a Model asks of its requests beyond shares, and the rules by which HAProxy does it. Only a Model that
 * asks for anything has rules of its own, in a frontend of its own: they cost nothing to the others.
 *
 * Names are written as they are only if they hold nothing but letters, digits, `-`, `_` and `.`; all other text of
 * users is written, and compared, in hexadecimal.
 */
import { versionHeader } from '#contract';
import { isVersion } from './names.ts';

export interface Policy {
  /** What the requests of one user have in common; each user stays with a version while its share lasts. */
  readonly sticky?: Sticky;
  /** The first that matches decides, if its version may have requests. */
  readonly routes?: readonly RequestRoute[];
  /** Whether clients may choose a version; absent: they may. */
  readonly pinning?: 'disabled';
  readonly timeouts?: Timeouts;
}

export type Sticky =
  | { readonly header: string; readonly cookie?: never }
  | { readonly cookie: string; readonly header?: never };

/** A request matches when it has all the headers, and the path or one below it. */
export interface RequestRoute {
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  /** Begins with `/`. */
  readonly prefix?: string;
  readonly version: string;
}

export interface Timeouts {
  /** Longest silence of a server that owes an answer, or the rest of one. */
  readonly responseMs?: number;
  /** Longest silence of a connection that was upgraded. */
  readonly idleMs?: number;
}

/** Bounds of what one Model can ask for, as in the CRD: rules cost every request of that Model. */
export const policyLimits = { routes: 16, headers: 8, text: 256, timeoutMs: 24 * 3_600_000 } as const;

/** The parts of a policy that can be carried out. A route that is wrong in anything matches nothing. */
export function admitPolicy(policy: Policy): {
  readonly policy: Policy;
  readonly problems: readonly string[];
} {
  const problems: string[] = [];
  const { sticky, timeouts } = policy;
  const key = sticky?.header ?? sticky?.cookie;
  const keyed = key !== undefined && isName(key);
  if (sticky && !keyed) problems.push(`sticky: ${JSON.stringify(key)} is no usable name`);
  const routes = (policy.routes ?? []).slice(0, policyLimits.routes).filter((route, index) => {
    const fine =
      isVersion(route.version) &&
      route.headers.length <= policyLimits.headers &&
      route.headers.every(({ name, value }) => isName(name) && isText(value)) &&
      (route.prefix === undefined || (isText(route.prefix) && route.prefix.startsWith('/'))) &&
      (route.headers.length > 0 || route.prefix !== undefined);
    if (!fine) problems.push(`routes[${index}] cannot be matched`);
    return fine;
  });
  const { responseMs, idleMs } = timeouts ?? {};
  const times = {
    ...(isTime(responseMs) ? { responseMs } : {}),
    ...(isTime(idleMs) ? { idleMs } : {}),
  };
  return {
    problems,
    policy: {
      ...(sticky && keyed ? { sticky } : {}),
      ...(routes.length > 0 ? { routes } : {}),
      ...(policy.pinning === 'disabled' ? { pinning: policy.pinning } : {}),
      ...(Object.keys(times).length > 0 ? { timeouts: times } : {}),
    },
  };
}

export function isEmpty(policy: Policy): boolean {
  return Object.keys(policy).length === 0;
}

/** A header or cookie that a rule may ask for; the router's own headers are none. */
function isName(text: unknown): text is string {
  return (
    typeof text === 'string' &&
    /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(text) &&
    !text.toLowerCase().startsWith('sluice-')
  );
}

function isText(text: unknown): text is string {
  return typeof text === 'string' && text.length > 0 && text.length <= policyLimits.text;
}

function isTime(ms: unknown): ms is number {
  return Number.isInteger(ms) && (ms as number) > 0 && (ms as number) <= policyLimits.timeoutMs;
}

/** Rules that read which version a client asks for. */
export function pinRules(pinning: Policy['pinning']): string {
  const path = '{ path_beg /v2/models/ } { path_sub /versions/ } { path,field(5,/) -m str versions }';
  return pinning === 'disabled'
    ? `  http-request return status 404 content-type application/json string '{"error":"versions of this model cannot be chosen by clients"}' if ${path}
`
    : `  http-request set-var(txn.pin) req.fhdr(${versionHeader})
  http-request set-var(txn.pin) path,field(6,/),url_dec if ${path}
`;
}

/**
 * Rules that lead a request that matches a route to its version's slot, if the map has one.
 * @param map port/version → slot
 */
export function routeRules(routes: readonly RequestRoute[], port: number, map: string): string {
  if (routes.length === 0) return '';
  const lines: string[] = [];
  routes.forEach(({ headers, prefix, version }, index) => {
    const acls: string[] = [];
    const acl = (criterion: string, method: string, values: readonly string[]) => {
      const name = `route${index}-${acls.length}`;
      lines.push(`  acl ${name} ${criterion},hex -m ${method} ${values.map(hex).join(' ')}`);
      return name;
    };
    for (const { name, value } of headers) acls.push(acl(`req.fhdr(${name})`, 'str', [value]));
    if (prefix !== undefined) {
      // As in the Gateway API: whole elements, so that /a leads to /a and /a/b, but not to /ab.
      const whole = prefix.replace(/\/+$/, '');
      if (whole === '') acls.push(acl('path', 'beg', ['/']));
      else {
        const exact = acl('path', 'str', [whole]);
        lines.push(`  acl ${exact} path,hex -m beg ${hex(`${whole}/`)}`);
        acls.push(exact);
      }
    }
    lines.push(
      `  http-request set-var(txn.route) str(${port}/${version}) if !pinned !{ var(txn.route) -m found } ${acls.join(' ')}`,
    );
  });
  lines.push(
    `  http-request set-var(txn.slot) var(txn.route),map_str(${map}) if { var(txn.route) -m found }`,
  );
  return `${lines.join('\n')}\n`;
}

/**
 * Rules that set `txn.bucket`: by chance, or by what the user's requests have in common. A user without a cookie gets
 * one. It says nothing and opens nothing, but scripts of a page have no use for it, hence HttpOnly; it is Secure where
 * whoever ended TLS says so; and it ends with the browser's session.
 * @param salt makes buckets of different Models independent: nobody is the first to meet every candidate
 */
export function bucketRules(sticky: Sticky | undefined, salt: number): string {
  if (!sticky) return '  http-request set-var(txn.bucket) rand(10000)\n';
  const key = sticky.header === undefined ? `req.cook(${sticky.cookie})` : `req.fhdr(${sticky.header})`;
  const cookie = (attributes: string) =>
    `http-after-response add-header set-cookie "${sticky.cookie}=%[var(txn.fresh)]; Path=/; HttpOnly; SameSite=Lax${attributes}" if { var(txn.fresh) -m found }`;
  const issue =
    sticky.cookie === undefined
      ? ''
      : `  http-request set-var(txn.fresh) uuid() if !keyed !pinned !{ var(txn.slot) -m found } !grpc
  http-request set-var(txn.secure) bool(true) if { var(txn.fresh) -m found } { req.fhdr(x-forwarded-proto) -i https }
  http-request set-var(txn.key) var(txn.fresh) if { var(txn.fresh) -m found }
  ${cookie('')} !{ var(txn.secure) -m bool }
  ${cookie('; Secure')} { var(txn.secure) -m bool }
`;
  return `  acl keyed var(txn.key) -m len 1:65536
  http-request set-var(txn.key) ${key}
${issue}  http-request set-var(txn.bucket) var(txn.key),xxh32(${salt}),mod(10000) if keyed
  http-request set-var(txn.bucket) rand(10000) if !keyed
`;
}

/** Rules that hand the timeouts on to whatever backend it will be. */
export function timeoutRules({ responseMs, idleMs }: Timeouts, clientMs: number): string {
  const lines: string[] = [];
  if (responseMs !== undefined) {
    lines.push(`  timeout client ${Math.max(clientMs, responseMs)}ms`);
    lines.push(`  http-request set-var(txn.response) int(${responseMs})`);
  }
  if (idleMs !== undefined) lines.push(`  http-request set-var(txn.idle) int(${idleMs})`);
  return lines.map((line) => `${line}\n`).join('');
}

/** Rules of backends, if any Model has timeouts of its own. */
export function backendTimeoutRules(policies: readonly Policy[]): string {
  const has = (field: keyof Timeouts) => policies.some(({ timeouts }) => timeouts?.[field] !== undefined);
  const rule = (kind: string, name: string) =>
    `  http-request set-timeout ${kind} var(${name}) if { var(${name}) -m found }\n`;
  return (
    (has('responseMs') ? rule('server', 'txn.response') : '') +
    (has('idleMs') ? rule('tunnel', 'txn.idle') : '')
  );
}

/** FNV-1a: the same at every router, and after every restart. */
export function saltOf(model: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(model)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

/** As HAProxy's converter writes it. */
function hex(text: string): string {
  return Buffer.from(text).toString('hex').toUpperCase();
}
