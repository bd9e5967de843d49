/** Carries out what probes and hooks ask for: HTTP, TCP, gRPC health and commands. Knows nothing of thresholds. */
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { goDuration } from './back-off.ts';
import { checkHealth, grpcStatus } from './grpc-health.ts';
import type { Container, HttpGet, IntOrString, Probe } from './pod.ts';

/** `unknown`: the question could not be put; it says nothing about the container. */
export interface Answer {
  readonly result: 'success' | 'warning' | 'failure' | 'unknown';
  readonly output: string;
}

/** Runs a command in the container; resolves when it ended or was killed after the timeout. */
export type Exec = (
  command: readonly string[],
  timeout: number,
) => Promise<{ readonly exitCode: number | undefined; readonly output: string }>;

const longestOutput = 10 * 1024;

/** Asks once. `timeout` in milliseconds. */
export async function ask(
  probe: Probe,
  container: Container,
  address: string,
  timeout: number,
  exec: Exec,
): Promise<Answer> {
  if (probe.exec) {
    const { exitCode, output } = await exec(probe.exec.command, timeout);
    if (exitCode === undefined) {
      const command = JSON.stringify(probe.exec.command.join(' '));
      return {
        result: 'failure',
        output: `command timed out: ${command} timed out after ${goDuration(timeout)}`,
      };
    }
    return { result: exitCode === 0 ? 'success' : 'failure', output: output.slice(0, longestOutput) };
  }
  try {
    if (probe.httpGet) return await getHttp(probe.httpGet, container, address, timeout);
    if (probe.tcpSocket) {
      const port = portNumber(probe.tcpSocket.port, container);
      return await connectTcp(probe.tcpSocket.host || address, port, timeout);
    }
    if (probe.grpc) return await checkGrpc(address, probe.grpc.port, probe.grpc.service ?? '', timeout);
  } catch (error) {
    return { result: 'unknown', output: error instanceof Error ? error.message : String(error) };
  }
  return { result: 'unknown', output: `missing probe handler for ${container.name}` };
}

/** The number of a port given by number or by the name of a container port. Throws when there is none. */
export function portNumber(port: IntOrString, container: Container): number {
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  const number = named ?? Number(port);
  if (!Number.isInteger(number)) throw new RangeError(`couldn't find port: ${JSON.stringify(port)}`);
  if (number < 1 || number > 65535) throw new RangeError(`invalid port number: ${number}`);
  return number;
}

/** One GET. Redirects within the host are followed; one that leads elsewhere counts as a success with a warning. */
export function getHttp(
  get: HttpGet,
  container: Container,
  address: string,
  timeout: number,
): Promise<Answer> {
  const scheme = (get.scheme ?? 'HTTP').toLowerCase();
  const host = get.host || address;
  const path = get.path ?? '/';
  const url = new URL(`${scheme}://${host}:${portNumber(get.port, container)}`);
  const [pathname, query] = path.split(/\?(.*)/s);
  url.pathname = pathname?.startsWith('/') ? pathname : `/${pathname ?? ''}`;
  if (query !== undefined) url.search = query;
  const headers: Record<string, string> = { 'User-Agent': 'kube-probe/1.36', Accept: '*/*' };
  for (const { name, value } of get.httpHeaders ?? []) {
    for (const known of Object.keys(headers)) {
      if (known.toLowerCase() === name.toLowerCase()) delete headers[known];
    }
    if (value !== '' || (name.toLowerCase() !== 'accept' && name.toLowerCase() !== 'user-agent'))
      headers[name] = value;
  }
  return follow(url, url, headers, timeout, Date.now() + timeout, 10);
}

function follow(
  url: URL,
  first: URL,
  headers: Record<string, string>,
  timeout: number,
  deadline: number,
  hops: number,
): Promise<Answer> {
  return new Promise((resolve) => {
    const fail = (text: string) =>
      resolve({ result: 'failure', output: `Get ${JSON.stringify(url.href)}: ${text}` });
    const late = `context deadline exceeded (Client.Timeout exceeded while awaiting headers)`;
    // The certificate is not the question; kubelets do not verify it either.
    const request =
      url.protocol === 'https:'
        ? https.request(url, { headers, agent: false, rejectUnauthorized: false })
        : http.request(url, { headers, agent: false });
    const timer = setTimeout(
      () => {
        fail(late);
        request.destroy();
      },
      Math.max(0, deadline - Date.now()),
    );
    request.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      fail(dialError(error, url.hostname, Number(url.port)));
    });
    request.on('response', (response) => {
      const code = response.statusCode ?? 0;
      const location = response.headers.location;
      if (code >= 300 && code < 400 && code !== 304 && location) {
        clearTimeout(timer);
        response.resume();
        response.on('error', () => {});
        const next = URL.parse(location, url.href);
        if (!next || next.hostname !== first.hostname) {
          resolve({ result: 'warning', output: `Probe terminated redirects, Response body: ` });
        } else if (hops === 0) fail('stopped after 10 redirects');
        else resolve(follow(next, first, headers, timeout, deadline, hops - 1));
        return;
      }
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (body.length < longestOutput) body += chunk.slice(0, longestOutput - body.length);
      });
      response.on('error', () => {});
      response.on('close', () => {
        clearTimeout(timer);
        if (code >= 200 && code < 400) resolve({ result: 'success', output: body });
        else resolve({ result: 'failure', output: `HTTP probe failed with statuscode: ${code}` });
      });
    });
    request.end();
  });
}

function connectTcp(host: string, port: number, timeout: number): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port });
    socket.setTimeout(timeout, () => {
      resolve({ result: 'failure', output: `dial tcp ${host}:${port}: i/o timeout` });
      socket.destroy();
    });
    socket.on('connect', () => {
      resolve({ result: 'success', output: '' });
      socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      resolve({ result: 'failure', output: dialError(error, host, port) });
    });
  });
}

function dialError(error: NodeJS.ErrnoException, host: string, port: number): string {
  if (error.code === 'ECONNREFUSED') return `dial tcp ${host}:${port}: connect: connection refused`;
  if (error.code === 'ECONNRESET')
    return error.message === 'socket hang up' ? 'EOF' : 'read: connection reset by peer';
  return error.message;
}

const servingNames = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

async function checkGrpc(host: string, port: number, service: string, timeout: number): Promise<Answer> {
  const answer = await checkHealth(host, port, service, timeout);
  if (!('serving' in answer)) {
    return { result: 'failure', output: grpcFailure(answer, `${host}:${port}`, timeout) };
  }
  if (answer.serving === 1) return { result: 'success', output: 'service healthy' };
  const name = servingNames[answer.serving] ?? String(answer.serving);
  return { result: 'failure', output: `service unhealthy (responded with "${name}")` };
}

function grpcFailure(
  { code, details }: { readonly code: number; readonly details: string },
  target: string,
  timeout: number,
): string {
  const within = goDuration(timeout);
  switch (code) {
    case grpcStatus.unimplemented:
      return `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${details}`;
    case grpcStatus.deadlineExceeded:
      return `timeout: health rpc did not complete within ${within}`;
    case grpcStatus.unavailable:
      return `timeout: failed to connect service "${target}" within ${within}: ${details}`;
    default:
      return `error: health rpc probe failed: ${details}`;
  }
}
