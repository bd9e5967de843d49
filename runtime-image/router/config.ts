/**
 * PURE: the text of haproxy.cfg. It holds no name that a user chose: versions are slot numbers, models are ports,
 * and texts come from maps or from the request itself, escaped where they are used.
 *
 * The way of a request: its port says the model; a random bucket of the model, or a pin, says the version's slot;
 * the slot and the protocol say the backend. A backend's last resort is a loop back into the router, which takes
 * the model's next fallback instead, so that a version that loses its last pod loses no request. Statuses 598
 * and 599 mark what such a pass could not answer, so that the pass before does not retry it.
 */
import { probePaths, routerPorts, versionHeader } from '#contract';
import { serverName, socketAddress } from './names.ts';
import type { Kind, Server, State } from './state.ts';

/** Names inside the router's folder. HAProxy runs in it, so that no path is too long for a socket. */
export const files = {
  config: 'haproxy.cfg',
  cli: 'cli.sock',
  loop: 'loop.sock',
  /** port → `first key/fallback/fallback/fallback` */
  ports: 'ports.map',
  /** key, as an address prefix → slot */
  split: 'split.map',
  /** `port/version` → slot */
  pins: 'pins.map',
  /** slot → version */
  versions: 'versions.map',
} as const;

/** What one machine can bear; the rest of the configuration is the same everywhere. */
export interface Limits {
  /** Addresses to listen on, as in `bind`: `10.1.2.3`, `*`, or `::` for both families. */
  readonly bind: string;
  readonly threads: number;
  readonly connections: number;
  /** Seconds that requests in flight may take after a reload or a stop. */
  readonly hardStopAfter: number;
  /** Requests per second whose latency is logged, at most. */
  readonly samplesPerSecond: number;
}

/** Id of the loop server in every backend; dynamic servers get higher ones. */
export const loopServerId = 1;

export const samplePrefix = '~';

const lastPort = routerPorts.firstModel + routerPorts.maxModels - 1;

function preamble(limits: Limits): string {
  const address = limits.bind.includes(':') && limits.bind !== '::' ? `[${limits.bind}]` : limits.bind;
  const bind = limits.bind === '::' ? ':::' : `${address}:`;
  const options = limits.bind === '::' ? ' v4v6' : '';
  return `global
  maxconn ${limits.connections}
  nbthread ${limits.threads}
  hard-stop-after ${limits.hardStopAfter}s
  stats socket unix@${files.cli} mode 600 level admin expose-fd listeners
  stats timeout 60s
  log stdout format raw daemon info
  tune.bufsize 32768
  tune.h2.max-concurrent-streams 256

defaults base
  mode http
  log global
  timeout connect 2s
  timeout client 15m
  timeout server 15m
  timeout tunnel 1h
  timeout queue 5s
  timeout check 3s
  timeout http-request 15s
  timeout http-keep-alive 5m
  timeout client-fin 30s
  option idle-close-on-response
  option dontlognull
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response 503
  option httpchk GET ${probePaths.ready}
  http-check expect status 200
  balance leastconn
  http-reuse safe

defaults http from base
  http-error status 502 content-type application/json string '{"error":"the server closed the connection without an answer"}'
  http-error status 503 content-type application/json string '{"error":"no server could be reached"}' hdr retry-after 1
  http-error status 504 content-type application/json string '{"error":"the server did not answer in time"}'

defaults grpc from base
  http-error status 502
  http-error status 503
  http-error status 504

# gRPC statuses other than 0 that pods answered with in headers, by slot * 32 + status.
backend codes from base
  stick-table type integer size 256k store gpc0

frontend models from base
  bind ${bind}${routerPorts.firstModel}-${lastPort}${options}
${rules(limits)}
frontend loop from base
  bind unix@${files.loop} mode 600 accept-proxy
${loopRules()}`;
}

function rules(limits: Limits): string {
  const h = versionHeader;
  return `  acl grpc-type req.hdr(content-type) -i -m beg application/grpc
  acl grpc-web req.hdr(content-type) -i -m beg application/grpc-web
  acl grpc var(txn.kind) -m str g
  acl pinned var(txn.pin) -m found
  acl routed var(txn.model) -m found
  acl chosen var(txn.slot) -m found
  acl looped srv_id ${loopServerId}
  acl repeatable method GET HEAD OPTIONS PUT DELETE
  acl repeatable path_beg /v2/ /inference.GRPCInferenceService/ /grpc.health.v1.Health/

  http-request set-var(txn.kind) str(h)
  http-request set-var(txn.kind) str(g) if grpc-type !grpc-web
  http-request set-var(txn.pin) req.fhdr(${h}) if { req.hdr_cnt(${h}) gt 0 }
  http-request set-var(txn.pin) path,field(6,/),url_dec if { path_beg /v2/models/ } { path,field(5,/) -m str versions }
  http-request del-header ${h}
  http-request del-header sluice-hop
  http-request set-header ${h} %[var(txn.pin)] if pinned
  http-request disable-l7-retry if !repeatable

  http-request set-var(txn.port) dst_port
  http-request set-var(txn.model) var(txn.port),map_str(${files.ports})
  http-request return status 200 hdr grpc-status 14 hdr grpc-message "no model is served on port %[var(txn.port)]" if grpc !routed
  http-request return status 404 content-type application/json lf-string '{"error":"no model is served on port %[var(txn.port)]"}' if !routed

  http-request set-var(txn.slot) var(txn.port),concat(/,txn.pin),map_str(${files.pins}) if pinned
  http-request return status 200 hdr grpc-status 5 hdr grpc-message "version %[var(txn.pin),url_enc] is not served" if grpc pinned !chosen
  http-request return status 404 content-type application/json lf-string '{"error":"version %[var(txn.pin),url_enc] is not served"}' if pinned !chosen
  http-request set-var(txn.base) var(txn.model),field(1,/) if !pinned
  http-request set-var(txn.slot) rand(10000),add(txn.base),map_ip(${files.split}) if !pinned
  http-request return status 200 hdr grpc-status 14 hdr grpc-message "no version is ready" if grpc !chosen
  http-request return status 503 content-type application/json hdr retry-after 1 string '{"error":"no version is ready"}' if !chosen
  http-request set-var(txn.version) var(txn.slot),map_str(${files.versions})
  http-request set-log-level silent
  http-request set-var(txn.rate) fe_req_rate(models)
  http-request set-log-level info if { rand(65536),mul(txn.rate),div(65536) lt ${limits.samplesPerSecond} }
  http-request set-var(txn.began) date(0,us)
  log-format "${samplePrefix} %[var(txn.slot)] %[var(txn.rate)] %[date(0,us),sub(txn.began)] %[srv_id]"

  http-response set-var(txn.code) res.hdr(grpc-status) if grpc chosen !looped
  http-response track-sc0 var(txn.slot),mul(32),add(txn.code) table codes if { var(txn.code) -m int 1:31 }
  http-response sc-inc-gpc0(0) if { var(txn.code) -m int 1:31 }

  http-after-response set-header ${h} %[var(txn.version)] if chosen !looped
  http-after-response del-header ${h} if !chosen
  http-after-response set-status 503 if { status 598:599 } looped
  http-after-response set-header grpc-message "no server could be reached" if grpc { status 502:504 } !{ res.hdr(grpc-status) -m found }
  http-after-response set-header grpc-status 14 if grpc { status 502:504 } !{ res.hdr(grpc-status) -m found }
  http-after-response set-status 200 if grpc { status 502:504 }
  http-after-response set-header content-type application/grpc if grpc !{ res.hdr(content-type) -m found }

  use_backend %[var(txn.kind)]%[var(txn.slot)]
`;
}

/** A request comes here when a backend has no server left. The number of passes is bounded by the fallbacks. */
function loopRules(): string {
  const h = versionHeader;
  return `  acl grpc-type req.hdr(content-type) -i -m beg application/grpc
  acl grpc-web req.hdr(content-type) -i -m beg application/grpc-web
  acl chosen var(txn.slot) -m found
  acl looped srv_id ${loopServerId}
  acl repeatable method GET HEAD OPTIONS PUT DELETE
  acl repeatable path_beg /v2/ /inference.GRPCInferenceService/ /grpc.health.v1.Health/
  acl grpc var(txn.kind) -m str g
  no log
  # These connections are the router's own: left open, they would keep a process that stops waiting for itself.
  no option idle-close-on-response
  timeout http-keep-alive 1s

  http-request set-var(txn.kind) str(h)
  http-request set-var(txn.kind) str(g) if grpc-type !grpc-web
  http-request disable-l7-retry if !repeatable
  http-request set-var(txn.model) dst_port,map_str(${files.ports})
  http-request set-var(txn.slot) var(txn.model),field(4,/) if { req.hdr(sluice-hop) 2 }
  http-request set-var(txn.slot) var(txn.model),field(3,/) if { req.hdr(sluice-hop) 1 }
  http-request set-var(txn.slot) var(txn.model),field(2,/) if !{ req.hdr(sluice-hop) -m found }
  http-request unset-var(txn.slot) if { req.hdr(${h}) -m found }
  http-request return status 599 hdr grpc-status 14 hdr grpc-message "no server is ready" if grpc !chosen
  http-request return status 599 content-type application/json hdr retry-after 1 string '{"error":"no server is ready"}' if !chosen
  http-request set-header sluice-hop 3 if { req.hdr(sluice-hop) 2 }
  http-request set-header sluice-hop 2 if { req.hdr(sluice-hop) 1 }
  http-request set-header sluice-hop 1 if !{ req.hdr(sluice-hop) -m found }
  http-request set-var(txn.version) var(txn.slot),map_str(${files.versions})

  http-response set-var(txn.code) res.hdr(grpc-status) if grpc chosen !looped
  http-response track-sc0 var(txn.slot),mul(32),add(txn.code) table codes if { var(txn.code) -m int 1:31 }
  http-response sc-inc-gpc0(0) if { var(txn.code) -m int 1:31 }

  http-after-response set-header ${h} %[var(txn.version)] if chosen !looped
  http-after-response set-status 598 if chosen { status 503 } !looped

  use_backend %[var(txn.kind)]%[var(txn.slot)]
`;
}

/** Backend of a slot: `h7`, `g7`. */
export function backendName(slot: number, kind: Kind): string {
  return `${kind === 'http' ? 'h' : 'g'}${slot}`;
}

/** `backend/server`, as commands want it. */
export function serverPath(server: Server): string {
  return `${backendName(server.slot, server.kind)}/${serverName(server.address, server.port)}`;
}

/**
 * Address and options of a server, the same in the configuration and in `add server`. A refused connection takes
 * it out at once, since it costs nothing to be wrong: one good check brings it back.
 */
export function serverOptions(server: Server): string {
  const protocol = server.kind === 'grpc' ? ' proto h2' : '';
  const check =
    server.checkPort === undefined
      ? ''
      : ` check port ${server.checkPort}${server.kind === 'grpc' ? ' check-proto h1' : ''} inter 400ms fastinter 50ms downinter 200ms` +
        ' fall 3 rise 1 observe layer4 error-limit 1 on-error mark-down slowstart 2s';
  return `${socketAddress(server.address, server.port)}${protocol} weight 100 pool-purge-delay 2s${check}`;
}

export function renderConfig(state: State, limits: Limits): string {
  const lines = [preamble(limits)];
  const byBackend = Map.groupBy(state.servers, (server) => backendName(server.slot, server.kind));
  for (let slot = 1; slot <= state.pool; slot++) {
    for (const kind of ['http', 'grpc'] as const) {
      const name = backendName(slot, kind);
      lines.push(`backend ${name} from ${kind}`);
      for (const server of byBackend.get(name) ?? [])
        lines.push(`  server ${serverName(server.address, server.port)} ${serverOptions(server)}`);
      lines.push(
        `  server loop unix@${files.loop} id ${loopServerId} send-proxy-v2 backup pool-max-conn 0${kind === 'grpc' ? ' proto h2' : ''}`,
      );
    }
  }
  return `${lines.join('\n')}\n`;
}
