/**
 * Proxies with the same fixed split as a router, as somebody would write them by hand, and pods behind them. Each is one
 * process with one thread.
 */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request, until } from '../../runtime-image/router/testing/client.ts';
import { findHaproxy } from '../../runtime-image/router/testing/haproxy.ts';
import { podPorts } from '../../runtime-image/router/testing/pod.ts';
import { firstPort } from '../../runtime-image/router/testing/world.ts';
import { yardsticks } from '../tools/tools.ts';

export interface ProxyProcess extends AsyncDisposable {
  readonly address: string;
  readonly ports: { readonly http: number; readonly grpc: number };
  readonly pid: number;
}

/** The pods' addresses. The first two are of the version that gets 70 %, the third of that which gets the rest. */
export const pods = ['127.63.0.1', '127.63.0.2', '127.63.0.3', '127.63.0.4'] as const;

/** Those of them that the proxies send to, as a router is told them. */
export function endpoints(model: string, targetConcurrency?: number) {
  return pods.slice(0, 3).map((address, index) => ({
    model,
    version: index < 2 ? '1.0.0' : '2.0.0',
    address,
    ports: podPorts,
    state: 'ready' as const,
    ...(targetConcurrency === undefined ? {} : { targetConcurrency }),
  }));
}

/** Bytes of a body that the pods read as a whole before they answer. */
export const largestBody = 1_000_000;

/** Pods as fast as can be: they read the request and answer a constant. */
export function startPods(): Promise<ProxyProcess> {
  const answer = '{"outputs":[{"name":"p","datatype":"FP32","shape":[1],"data":[0.5]}]}';
  const binds = pods.flatMap((pod) => Object.values(podPorts).map((port) => `  bind ${pod}:${port}`));
  return haproxy(
    pods[0],
    podPorts,
    `global
  nbthread 1
  maxconn 4000
  tune.bufsize ${largestBody + 100_000}
defaults
  mode http
  timeout client 60s
  timeout connect 1s
  timeout server 60s
frontend pods
${binds.join('\n')}
  acl grpc req.hdr(content-type) -m beg application/grpc
  http-request wait-for-body time 10s at-least ${largestBody} if METH_POST
  http-request return status 200 content-type application/grpc hdr grpc-status 0 string '${answer}' if grpc
  http-request return status 200 content-type application/json string '${answer}'
`,
  );
}

/**
 * HAProxy alone, with the settings that any such file would have.
 *
 * @param retries whether it keeps requests to send them again when their pod dies, as the router does
 * @param servers addresses of pods of the version that gets 70 %, and of the one that gets the rest
 */
export function startBareHaproxy({
  retries,
  servers = [pods.slice(0, 2), pods.slice(2, 3)],
}: {
  readonly retries: boolean;
  readonly servers?: readonly [stable: readonly string[], candidate: readonly string[]];
}): Promise<ProxyProcess> {
  const address = `127.63.0.${retries ? 252 : 254}`;
  const backends = [
    ['h', podPorts.http, ''],
    ['g', podPorts.grpc, ' proto h2'],
  ] as const;
  return haproxy(
    address,
    { http: firstPort, grpc: firstPort },
    `global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout client 60s
  timeout connect 1s
  timeout server 60s
  balance leastconn
  http-reuse safe
  option redispatch 1
${retries ? '  retries 10\n  retry-on conn-failure empty-response 503\n' : ''}frontend bare
  bind ${address}:${firstPort}
  acl grpc req.hdr(content-type) -m beg application/grpc
  use_backend g1 if grpc { rand(10000) lt 7000 }
  use_backend g2 if grpc
  use_backend h1 if { rand(10000) lt 7000 }
  default_backend h2
${backends
  .flatMap(([kind, port, protocol]) =>
    servers.map(
      (addresses, index) => `backend ${kind}${index + 1}
${addresses.map((address) => `  server ${address} ${address}:${port}${protocol} check inter 500ms\n`).join('')}`,
    ),
  )
  .join('')}`,
  );
}

/** nginx with `split_clients`, without limits on connections that are kept, and without copies of bodies on disk. */
export async function startNginx(): Promise<ProxyProcess> {
  const { nginx } = await yardsticks(['nginx']);
  const address = '127.63.0.253';
  // Before 1.25 a port has either HTTP/1.1 or clear-text HTTP/2.
  const ports = { http: firstPort, grpc: firstPort + 1 };
  const upstream = (name: string, port: number, servers: readonly string[]) => `
  upstream ${name} {
    least_conn;
${servers.map((server) => `    server ${server}:${port};`).join('\n')}
    keepalive 256;
    keepalive_requests 1000000000;
  }`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return start('nginx', address, ports, async (folder) => {
    await mkdir(join(folder, 'temporary'));
    await writeFile(
      join(folder, 'nginx.conf'),
      `daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
${temporary.map((name) => `  ${name}_temp_path temporary/${name};`).join('\n')}
  keepalive_requests 1000000000;
  client_max_body_size 0;
  http2_max_concurrent_streams 256;
  split_clients $request_id $version { 70% 1; * 2; }
${upstream('http1', podPorts.http, pods.slice(0, 2))}
${upstream('http2', podPorts.http, pods.slice(2, 3))}
${upstream('grpc1', podPorts.grpc, pods.slice(0, 2))}
${upstream('grpc2', podPorts.grpc, pods.slice(2, 3))}
  server {
    listen ${address}:${ports.http};
    location / {
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_pass http://http$version;
    }
  }
  server {
    listen ${address}:${ports.grpc} http2;
    location / { grpc_pass grpc://grpc$version; }
  }
}
`,
    );
    return [nginx, '-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')];
  });
}

function haproxy(address: string, ports: ProxyProcess['ports'], config: string): Promise<ProxyProcess> {
  return start('HAProxy', address, ports, async (folder) => {
    const file = join(folder, 'haproxy.cfg');
    await writeFile(file, config);
    return [await findHaproxy(), '-db', '-f', file];
  });
}

/** Runs a proxy in a folder of its own, until it answers. @throws Error with what it says when it ends before */
async function start(
  name: string,
  address: string,
  ports: ProxyProcess['ports'],
  prepare: (folder: string) => Promise<readonly string[]>,
): Promise<ProxyProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-proxy-'));
  const [binary, ...given] = await prepare(folder);
  const child = spawn(binary!, given, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  let ended = false;
  const exit = new Promise<void>((resolve) =>
    child.once('close', () => {
      ended = true;
      resolve();
    }),
  );
  const end = async () => {
    child.kill('SIGTERM');
    await exit;
    await rm(folder, { recursive: true });
  };
  const answers = () =>
    request(address, '/', { port: ports.http }).then(
      () => true,
      () => ended,
    );
  try {
    await until(answers, `${name} answers`);
    if (ended) throw new Error(`${name} ended: ${said}`);
  } catch (error) {
    await end();
    throw error;
  }
  return { address, ports, pid: child.pid!, [Symbol.asyncDispose]: end };
}
