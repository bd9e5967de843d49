/** Logs and streams: passed through to the kubelet of the pod's node. */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { badRequest, notFound, StatusError } from '../errors.ts';
import { type ApiObject, asObjects, asString, at } from '../json.ts';
import type { Call } from '../resource/call.ts';
import { getObject } from '../resource/writes.ts';
import type { App } from './app.ts';
import type { Exchange } from './resources.ts';

interface KubeletTarget {
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

function nodeAddress(call: Call, name: string): { host: string; port: number } {
  const node = call.core.store.bucket('/nodes').get(name);
  if (!node) throw notFound({ group: '', resource: 'nodes' }, name);
  const addresses = asObjects(at(node, 'status', 'addresses'));
  const host = asString(addresses.find((each) => each['type'] === 'InternalIP')?.['address']);
  const port = at(node, 'status', 'daemonEndpoints', 'kubeletEndpoint', 'Port');
  if (!host || typeof port !== 'number') throw unreachable(name, 'it reports no kubelet endpoint');
  return { host, port };
}

function unreachable(node: string, why: string): StatusError {
  return new StatusError(500, 'InternalError', `Get from the kubelet of node ${node} failed: ${why}`);
}

/** The container asked for, or the only or default one. @throws StatusError 400 when a choice is needed */
function containerName(pod: ApiObject, asked: string | null): string {
  const all = ['containers', 'initContainers', 'ephemeralContainers'].flatMap((key) =>
    asObjects(at(pod, 'spec', key)).map((each) => asString(each['name'])),
  );
  const plain = asObjects(at(pod, 'spec', 'containers')).map((each) => asString(each['name']));
  if (asked) {
    if (!all.includes(asked))
      throw badRequest(`container ${asked} is not valid for pod ${pod.metadata.name}`);
    return asked;
  }
  const preferred = pod.metadata.annotations?.['kubectl.kubernetes.io/default-container'];
  if (preferred && plain.includes(preferred)) return preferred;
  if (plain.length === 1) return plain[0]!;
  throw badRequest(
    `a container name must be specified for pod ${pod.metadata.name}, choose one of: [${plain.join(' ')}]`,
  );
}

function kubeletTarget(call: Call, rest: string): KubeletTarget {
  const query = new URLSearchParams(call.query);
  if (call.kind.kind === 'Node') {
    const search = query.size > 0 ? `?${query}` : '';
    return { ...nodeAddress(call, call.name!), path: `/${rest}${search}` };
  }
  if (call.kind.kind !== 'Pod' || call.subresource === 'proxy') {
    throw new StatusError(
      501,
      'NotImplemented',
      `the ${call.subresource} subresource of ${call.kind.resource} is not served here`,
    );
  }
  const pod = getObject(call);
  const node = asString(at(pod, 'spec', 'nodeName'));
  const [namespace, name] = [pod.metadata.namespace!, pod.metadata.name!];
  const stream = call.subresource;
  if (!node) {
    if (stream === 'log') return { host: '', port: 0, path: '' };
    throw badRequest(`pod ${name} does not have a host assigned`);
  }
  const container = stream === 'portforward' ? '' : containerName(pod, query.get('container'));
  query.delete('container');
  const names: Record<string, string> = {
    log: `/containerLogs/${namespace}/${name}/${container}`,
    exec: `/exec/${namespace}/${name}/${container}`,
    attach: `/attach/${namespace}/${name}/${container}`,
    portforward: `/portForward/${namespace}/${name}`,
  };
  for (const [ours, theirs] of [
    ['stdin', 'input'],
    ['stdout', 'output'],
    ['stderr', 'error'],
  ] as const) {
    const value = query.get(ours);
    if (value === null || stream === 'log') continue;
    query.delete(ours);
    if (value === 'true' || value === '1') query.set(theirs, '1');
  }
  if (query.get('tty') === 'true') query.set('tty', '1');
  const search = query.size > 0 ? `?${query}` : '';
  return { ...nodeAddress(call, node), path: `${names[stream]}${search}` };
}

function options(app: App, target: KubeletTarget, method: string, headers: OutgoingHttpHeaders) {
  const { authorization: _, host: __, ...kept } = headers;
  return {
    host: target.host,
    port: target.port,
    path: target.path,
    method,
    headers: kept,
    cert: app.kubeletClient.cert,
    key: app.kubeletClient.key,
    // Kubelets serve with certificates of their own making, as they do by default in Kubernetes.
    rejectUnauthorized: false,
    agent: false as const,
  };
}

/** Streams the kubelet's answer to the client. */
export async function proxyToKubelet(app: App, { call, target, request, response }: Exchange): Promise<void> {
  const kubelet = kubeletTarget(call, target.rest);
  if (!kubelet.host) {
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.end();
    return;
  }
  await new Promise<void>((resolve, reject) => {
    const upstream = httpsRequest(options(app, kubelet, request.method ?? 'GET', request.headers));
    upstream.on('response', (answer) => {
      const headers = { ...answer.headers };
      delete headers.connection;
      response.writeHead(answer.statusCode ?? 502, headers);
      response.flushHeaders();
      answer.pipe(response);
      answer.on('error', () => response.destroy());
      response.on('close', () => upstream.destroy());
      response.on('close', resolve);
    });
    upstream.on('error', (error) => reject(unreachable(String(kubelet.host), error.message)));
    request.pipe(upstream);
  });
}

/** Passes an upgraded connection (exec, attach, port-forward) through, byte for byte. */
export function tunnelToKubelet(
  app: App,
  call: Call,
  rest: string,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const kubelet = kubeletTarget(call, rest);
  const upstream = httpsRequest(options(app, kubelet, request.method ?? 'GET', request.headers));
  const headerText = (answer: IncomingMessage): string => {
    const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
    for (let index = 0; index < answer.rawHeaders.length; index += 2) {
      lines.push(`${answer.rawHeaders[index]}: ${answer.rawHeaders[index + 1]}`);
    }
    return `${lines.join('\r\n')}\r\n\r\n`;
  };
  upstream.on('upgrade', (answer, remote, remoteHead) => {
    socket.write(headerText(answer));
    if (remoteHead.length > 0) socket.write(remoteHead);
    if (head.length > 0) remote.write(head);
    remote.pipe(socket);
    socket.pipe(remote);
    remote.on('error', () => socket.destroy());
    remote.on('close', () => socket.destroy());
    socket.on('close', () => remote.destroy());
  });
  upstream.on('response', (answer) => {
    socket.write(headerText(answer));
    answer.pipe(socket);
  });
  upstream.on('error', () => socket.destroy());
  socket.on('error', () => upstream.destroy());
  upstream.end();
}
