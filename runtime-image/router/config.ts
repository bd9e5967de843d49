/**
 * PURE: the text of haproxy.cfg. It holds no name that a user chose: versions are slot numbers, models are ports,
 * and texts come from maps or from the request itself, escaped where they are used. Only what Models ask for besides
 * shares is different; see `policy.ts`.
 *
 * The way of a request: its port says the model; a random bucket of the model, or a pin, says the version's slot;
 * the slot and the protocol say the backend. A backend's last resort is a loop back into the router, which takes
 * the model's next fallback instead, so that a version that loses its last pod loses no request. Statuses 598
 * and 599 mark what such a pass could not answer, so that the pass before does not retry it.
 */
import { probePaths, routerPorts, versionHeader } from '#contract';
import { serverName, socketAddress } from './names.ts';
import { backendTimeoutRules, bucketRules, pinRules, routeRules, saltOf, timeoutRules } from './policy.ts';
import type { Kind, Route, Server, State } from './state.ts';

/** Names inside the router's folder. HAProxy runs in it, so that no path is too long for a socket. */
export const files = {
  config: 'haproxy.cfg',
  cli: 'cli.sock',
  loop: 'loop.sock',
  /** port → first key of the model's shares */
  ports: 'ports.map',
  /** key, as an address prefix → `slot/version` */
  split: 'split.map',
  /** `port/version` → `slot/version` */
  pins: 'pins.map',
  /** port → `slot/version|slot/version|slot/version` */
  fallbacks: 'fallbacks.map',
  /** `port/version` → `slot/version`, of versions that a Model's routes may lead to now */
  routes: 'routes.map',
  /** Range of random numbers, of 0..1023, whose requests are timed. */
  samples: 'samples.lst',
  /** Range of requests a second within which they are. */
  rates: 'rates.lst',
} as const;

/** What one machine can bear; the rest of the configuration is the same everywhere. */
export interface Limits {
  /** Addresses to listen on, as in `bind`: `10.1.2.3`, `*`, or `::` for both families. */
  readonly bind: string;
  readonly threads: number;
  /** File descriptors that HAProxy may have. */
  readonly descriptors: number;
  /** Seconds that requests in flight may take after a reload. A stop is bounded by the agent. */
  readonly hardStopAfter: number;
}

/** Id of the loop server in every backend; dynamic servers get higher ones. */
export const loopServerId = 1;

/** Between two probes of a connection to a pod on which nothing comes. */
export const keepAliveSeconds = 1;

export const samplePrefix = '~';

/** Requests a second that were refused by every pod, beyond which only one is asked: a refusal that is tried ten times is ten times the load. */
const fewRefusals = 10;

/** Bytes from which a body can never be sent again: a copy is one buffer of 16 KiB, less 1 KiB for headers that rules add. */
const tooLargeToRepeat = 15 * 1024;

const lastPort = routerPorts.firstModel + routerPorts.maxModels - 1;

/** Connections to take at most; one more waits in the kernel. */
const mostConnections = 20_000;
/** With fewer it is better not to start, and to say why. */
const fewestConnections = 256;
/** For commands, logs, idle connections, and checks of servers that come later. */
const spareDescriptors = 1024;

/**
 * Connections that the descriptors allow, at two each: beside them each listener has one, and each server has one while it
 * is checked. HAProxy's own count, by which it would refuse to start, is not asked (`no strict-limits`): it has two for each
 * server with a check and a port for it, also for places where there is no server.
 *
 * @throws Error when they do not suffice
 */
export function connectionsFor({ servers }: State, descriptors: number): number {
  const beside = routerPorts.maxModels + servers.length + spareDescriptors;
  const affordable = Math.floor((descriptors - beside) / 2);
  if (affordable < fewestConnections)
    throw new Error(
      `HAProxy may have ${descriptors} files open, and wants ${beside + 2 * fewestConnections} for ${servers.length} servers: ` +
        "raise the hard limit of the router's container (ulimit -Hn)",
    );
  return Math.min(mostConnections, affordable);
}

/** `bind` lines for ranges of ports. */
function binds(limits: Limits, ranges: readonly (readonly [number, number])[]): string {
  const address = limits.bind.includes(':') && limits.bind !== '::' ? `[${limits.bind}]` : limits.bind;
  const bind = limits.bind === '::' ? ':::' : `${address}:`;
  const options = limits.bind === '::' ? ' v4v6' : '';
  return ranges
    .map(([from, to]) => `  bind ${bind}${from === to ? from : `${from}-${to}`}${options}\n`)
    .join('');
}

/** The ports of models that have no frontend of their own. */
function commonPorts(own: readonly Route[]): [number, number][] {
  const ranges: [number, number][] = [];
  let from: number = routerPorts.firstModel;
  for (const port of [...own.map((route) => route.port).sort((a, b) => a - b), lastPort + 1]) {
    if (port > from) ranges.push([from, port - 1]);
    from = port + 1;
  }
  return ranges;
}

/** Milliseconds of silence that a client may keep; Models can ask for more. */
const clientMs = 15 * 60_000;

/** A frontend for one Model that asks for more than shares. */
function ownFrontend(route: Route, limits: Limits): string {
  const { port, name, policy = {} } = route;
  return `
frontend m${port} from base
${binds(limits, [[port, port]])}${policy.timeouts ? timeoutRules(policy.timeouts, clientMs) : ''}${rules({
  pins: pinRules(policy.pinning),
  choice: `${routeRules(policy.routes ?? [], port, files.routes)}${bucketRules(policy.sticky, saltOf(name))}`,
  bucket: 'var(txn.bucket)',
  drawn: '!found',
})}`;
}

/** Requests that may wait for each pod of a version whose pods have limits; each for `timeout queue` at most. */
const mostWaiting = 100;

function preamble(state: State, limits: Limits): string {
  const own = state.routes.filter((route) => route.policy !== undefined);
  const patience = backendTimeoutRules(own.map((route) => route.policy!));
  const busy = (...lines: string[]) =>
    state.limited
      ? [
          `set-var(txn.busy) bool(true) if { avg_queue gt ${mostWaiting} }`,
          ...lines.map((line) => `${line} if { var(txn.busy) -m bool }`),
        ]
          .map((line) => `  http-request ${line}\n`)
          .join('')
      : '';
  return `global
  maxconn ${connectionsFor(state, limits.descriptors)}
  no strict-limits
  nbthread ${limits.threads}
  hard-stop-after ${limits.hardStopAfter}s
  stats socket unix@${files.cli} mode 600 level admin expose-fd listeners
  stats timeout 60s
  log stdout format raw daemon info
  tune.h2.max-concurrent-streams 256
  # Each request keeps its URI for a log line, which no line of ours has: 64 bytes, instead of 1 KiB of a thread's cache.
  tune.http.logurilen 64
  # A thread that takes another's idle connection may take one whose end the other has not yet seen.
  tune.idle-pool.shared off

defaults base
  mode http
  log global
  # On a pod network a connection takes a millisecond. One that takes longer lost a packet: try again, rather than wait.
  timeout connect 250ms
  timeout client ${clientMs}ms
  timeout server 15m
  timeout tunnel 1h
  timeout queue 5s
  timeout check 3s
  timeout http-request 15s
  timeout http-keep-alive 5m
  timeout client-fin 30s
  option idle-close-on-response
  option dontlognull
  option srvtcpka
  srvtcpka-idle ${keepAliveSeconds}s
  srvtcpka-intvl ${keepAliveSeconds}s
  srvtcpka-cnt 3
  option redispatch 1
  # Of a pod that died, each kept connection whose end is not seen yet costs a try, and so do three refusals.
  retries 10
  retry-on conn-failure empty-response 503
  option httpchk GET ${probePaths.ready}
  http-check expect status 200
  balance leastconn
  http-reuse safe

defaults http from base
${patience}${busy(`return status 503 content-type application/json hdr retry-after 1 string '{"error":"all pods are busy"}'`)}  # Pods that have all been asked in vain would only have more to refuse. Who asks once says nothing of the others, so after a second or two they are asked again.
  http-request set-var(txn.once) bool(true) if { var(txn.slot),field(1,/),table_gpc0_rate(refused) gt ${fewRefusals} }
  http-request disable-l7-retry if { var(txn.once) -m bool }
  http-response allow unless { status 503 } !{ var(txn.once) -m bool } !{ srv_id ${loopServerId} }
  http-response track-sc0 var(txn.slot),field(1,/) table refused
  http-response sc-inc-gpc0(0)
  http-error status 502 content-type application/json string '{"error":"the server closed the connection without an answer"}'
  http-error status 503 content-type application/json string '{"error":"no pod could take the request"}' hdr retry-after 1
  http-error status 504 content-type application/json string '{"error":"the server did not answer in time"}'
  http-after-response set-header ${h} %[var(txn.slot),field(2,/)] unless { srv_id ${loopServerId} }
  http-after-response set-status 503 if { status 598:599 } { srv_id ${loopServerId} }

defaults grpc from base
${patience}${busy(
  'track-sc0 var(txn.slot),field(1,/),mul(32),add(14) table codes',
  'sc-inc-gpc0(0)',
  'return status 503 hdr retry-after 1 hdr grpc-status 14 hdr grpc-message "all pods are busy"',
)}  http-error status 502
  http-error status 503
  http-error status 504 hdr grpc-status 4 hdr grpc-message "the server did not answer in time"
  http-request disable-l7-retry if { var(txn.once) -m bool }
  http-response allow unless { res.hdr(grpc-status) -m int 1:31 } !{ srv_id ${loopServerId} }
  http-response set-var(txn.code) res.hdr(grpc-status)
  http-response track-sc0 var(txn.slot),field(1,/),mul(32),add(txn.code) table codes
  http-response sc-inc-gpc0(0)
  http-after-response set-header ${h} %[var(txn.slot),field(2,/)] unless { srv_id ${loopServerId} }
  http-after-response allow unless { status 502:504 599 }
  http-after-response set-header grpc-message "no pod could take the request" if !{ res.hdr(grpc-status) -m found }
  http-after-response set-header grpc-status 14 if !{ res.hdr(grpc-status) -m found }
  http-after-response set-header content-type application/grpc
  http-after-response set-status 200

# gRPC statuses other than 0 that pods answered with in headers, by slot * 32 + status.
backend codes from base
  stick-table type integer size 256k store gpc0

# Requests over HTTP that pods answered with 503 however often they were sent, by slot.
backend refused from base
  stick-table type integer size 16k store gpc0_rate(1s)

frontend models from base
${binds(limits, commonPorts(own))}${rules({ pins: pinRules(undefined), choice: '', bucket: 'rand(10000)' })}
${own.map((route) => ownFrontend(route, limits)).join('')}
${refusal}
frontend loop from base
  bind unix@${files.loop} mode 600 accept-proxy
${loopRules}`;
}

const h = versionHeader;

// gRPC-Web is HTTP/1.1 to the pods; one pattern costs one search through the headers.
const acls = `  acl grpc req.fhdr(content-type) -i -m reg ^application/grpc($|[+;])
  acl repeatable path_beg /v2/ /inference.GRPCInferenceService/ /grpc.health.v1.Health/
  acl repeatable method GET HEAD OPTIONS PUT DELETE
`;

/**
 * Every rule here costs every request, so there are few, and `allow` spares most requests the last ones; what is refused is
 * told apart only in the backend `refuse`, where a request ends up when no slot was found and hence no backend has the name.
 *
 * @param choice what else may set `txn.slot`
 * @param bucket expression of a bucket
 * @param drawn condition under which the bucket counts; absent: always
 */
function rules({
  pins,
  choice,
  bucket,
  drawn,
}: Record<'pins' | 'choice' | 'bucket', string> & { readonly drawn?: string }): string {
  const timed = `{ rand(1024) -m int -f ${files.samples} }`;
  return `${acls}  acl unary path_beg /v2/ /inference.GRPCInferenceService/ModelInfer
  acl pinned var(txn.pin) -m found
  acl found var(txn.slot) -m found
  acl calm fe_req_rate -m int -f ${files.rates}
${pins}  http-request del-header sluice- -m beg
  http-request set-var(txn.once) bool(true) if !repeatable
  # What is not whole when it is first sent cannot be sent again: HAProxy keeps a copy of one buffer. What is too large for one is not waited for.
  http-request wait-for-body time 15s if unary { req.body_size lt ${tooLargeToRepeat} }
  http-request set-var(txn.base) dst_port,map_str_int(${files.ports})
${choice}  http-request set-var(txn.slot) ${bucket},add(txn.base),map_ip(${files.split})${drawn === undefined ? '' : ` if ${drawn}`}
  http-request set-log-level silent
  http-request allow if found !pinned !${timed} or found !pinned !calm
  http-request set-header ${h} %[var(txn.pin)] if pinned
  http-request unset-var(txn.slot) if pinned
  http-request set-var(txn.slot) dst_port,concat(/,txn.pin),map_str(${files.pins}) if pinned
  # A thread that is interrupted between the two lookups for long enough finds its half of the shares deleted: look again.
  http-request set-var(txn.base) dst_port,map_str_int(${files.ports}) if !pinned !found
  http-request set-var(txn.slot) ${bucket},add(txn.base),map_ip(${files.split}) if !pinned !found
  http-request set-var(txn.began) date(0,us) if !pinned or calm ${timed}
  http-request set-log-level info if { var(txn.began) -m found }
  log-format "${samplePrefix} %[var(txn.slot)] %[date(0,us),sub(txn.began)] %[srv_id]"
  use_backend g%[var(txn.slot),field(1,/)] if grpc
  use_backend h%[var(txn.slot),field(1,/)]
  default_backend refuse
`;
}

const refusal = `backend refuse from base
${acls}  acl pinned var(txn.pin) -m found
  acl routed var(txn.base) -m found
  http-request set-var(txn.grpc) bool(true) if grpc
  http-request return status 200 hdr grpc-status 14 hdr grpc-message "no model is served on port %[dst_port]" if grpc !routed
  http-request return status 404 content-type application/json lf-string '{"error":"no model is served on port %[dst_port]"}' if !routed
  http-request return status 200 hdr grpc-status 5 hdr grpc-message "version %[var(txn.pin),url_enc] is not served" if grpc pinned
  http-request return status 404 content-type application/json lf-string '{"error":"version %[var(txn.pin),url_enc] is not served"}' if pinned
  http-request return status 200 hdr grpc-status 14 hdr grpc-message "no version is ready" if grpc
  http-request return status 503 content-type application/json hdr retry-after 1 string '{"error":"no version is ready"}'
  http-after-response set-header content-type application/grpc if { var(txn.grpc) -m bool }
`;

/** A request comes here when a backend has no server left. The number of passes is bounded by the fallbacks. */
const loopRules = `${acls}  # These connections are the router's own: left open, they would keep a process that stops waiting for itself.
  no option idle-close-on-response
  no log
  http-request set-var(txn.once) bool(true) if !repeatable
  # A pin is never answered by another version, so it has no slot here.
  http-request set-var(txn.slot) dst_port,map_str(${files.fallbacks}),field(1,|) if !{ req.hdr(${h}) -m found } !{ req.hdr(sluice-hop) -m found }
  http-request set-var(txn.slot) dst_port,map_str(${files.fallbacks}),field(2,|) if { req.hdr(sluice-hop) 1 }
  http-request set-var(txn.slot) dst_port,map_str(${files.fallbacks}),field(3,|) if { req.hdr(sluice-hop) 2 }
  http-request set-header sluice-hop 3 if { req.hdr(sluice-hop) 2 }
  http-request set-header sluice-hop 2 if { req.hdr(sluice-hop) 1 }
  http-request set-header sluice-hop 1 unless { req.hdr(sluice-hop) -m found }
  http-after-response set-status 598 if { status 503 }
  use_backend g%[var(txn.slot),field(1,/)] if grpc
  use_backend h%[var(txn.slot),field(1,/)]
  default_backend exhausted

backend exhausted from base
${acls}  http-request return status 599 hdr grpc-status 14 hdr grpc-message "no server is ready" if grpc
  http-request return status 599 content-type application/json hdr retry-after 1 string '{"error":"no server is ready"}'
`;

/** Backend of a slot: `h7`, `g7`. */
export function backendName(slot: number, kind: Kind): string {
  return `${kind === 'http' ? 'h' : 'g'}${slot}`;
}

/** The slot and the kind of a backend's name. */
export function slotOf(backend: string): { readonly slot: number; readonly kind: Kind } {
  return { slot: Number(backend.slice(1)), kind: backend.startsWith('h') ? 'http' : 'grpc' };
}

/** `backend/server`, as commands want it. */
export function serverPath(server: Server): string {
  return `${backendName(server.slot, server.kind)}/${nameOf(server)}`;
}

/** A server that is added at run time is named after its address, a prepared one after its place. */
function nameOf(server: Server): string {
  return server.place === undefined ? serverName(server.address, server.port) : placeName(server.place);
}

function placeName(place: number): string {
  return `p${place}`;
}

/** An address that a place has until a pod comes; nothing is sent there. */
const nowhere = '127.0.0.1:1';

const shortestCheckMs = 400;
const checksPerSecond = 2_000;

/**
 * Milliseconds between two checks of a server that is up, when there are so many. Thousands of pods would else keep
 * HAProxy from requests: at 16,000 checks a second, each waited for a tenth of a second to a second. A pod that has traffic
 * is found dead by its requests anyway, and one that may be, or is, is checked more often than this.
 */
export function checkIntervalMs(servers: number): number {
  return shortestCheckMs * Math.max(1, Math.ceil((servers * 1000) / checksPerSecond / shortestCheckMs));
}

/**
 * Address and options of a server, the same in the configuration and in `add server`. Three connections that fail one
 * after the other take it out at once, and one good check brings it back; a single one may be a lost packet, and would
 * cost a version that has one pod its share. `tcp-ut` ends connections to a machine that is gone without a word, so
 * that their requests are tried elsewhere; servers that are added at run time cannot have it. That is the last resort: see
 * `silence.ts`. `pool-max-conn` has to be said: without it a server that was added at run time
 * keeps no connection, and every request would open one.
 *
 * @param checkMs from `checkIntervalMs`
 */
export function serverOptions(server: Server, checkMs: number): string {
  return `${socketAddress(server.address, server.port)}${options(server.kind, server.checkPort, checkMs)}`;
}

function limitOption({ limit }: Server): string {
  return limit === undefined ? '' : ` maxconn ${limit}`;
}

function options(kind: Kind, checkPort: number | undefined, checkMs: number): string {
  const protocol = kind === 'grpc' ? ' proto h2 tcp-ut 5s' : '';
  const check =
    checkPort === undefined
      ? ''
      : ` check port ${checkPort}${kind === 'grpc' ? ' check-proto h1' : ''} inter ${checkMs}ms fastinter ${checkMs / 8}ms downinter ${checkMs / 2}ms` +
        ' fall 3 rise 1 observe layer4 error-limit 3 on-error mark-down slowstart 2s';
  return `${protocol} weight 100 pool-max-conn 512 pool-purge-delay 2s${check}`;
}

export function renderConfig(state: State, limits: Limits): string {
  const lines = [preamble(state, limits)];
  const checkMs = checkIntervalMs(state.servers.length);
  const byBackend = Map.groupBy(state.servers, (server) => backendName(server.slot, server.kind));
  for (let slot = 1; slot <= state.pool; slot++) {
    for (const kind of ['http', 'grpc'] as const) {
      const name = backendName(slot, kind);
      lines.push(`backend ${name} from ${kind}`);
      const servers = byBackend.get(name) ?? [];
      for (const server of servers)
        lines.push(`  server ${nameOf(server)} ${serverOptions(server, checkMs)}${limitOption(server)}`);
      const taken = new Set(servers.map((server) => server.place));
      for (let place = 1; kind === 'grpc' && place <= state.places; place++)
        if (!taken.has(place))
          lines.push(`  server ${placeName(place)} ${nowhere}${options(kind, 1, checkMs)} disabled`);
      lines.push(
        `  server loop unix@${files.loop} id ${loopServerId} send-proxy-v2 backup pool-max-conn 0${kind === 'grpc' ? ' proto h2' : ''}`,
      );
    }
  }
  return `${lines.join('\n')}\n`;
}
