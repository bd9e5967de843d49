/** `kubectl port-forward`: pairs of streams, one for data and one for what goes wrong, each pair a connection to the pod. */
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { type SpdyStream, serveSpdy } from './spdy.ts';

export const portForwardProtocol = 'portforward.k8s.io';

/** @param address of the pod */
export function servePortForward(socket: Duplex, address: string): void {
  const waiting = new Map<string, Partial<Record<'data' | 'error', SpdyStream>>>();
  serveSpdy(socket, (stream) => {
    const { streamtype: type, requestid: id = '', port } = stream.headers;
    if (type !== 'data' && type !== 'error') return stream.destroy();
    const pair = { ...waiting.get(id), [type]: stream };
    waiting.set(id, pair);
    if (!pair.data || !pair.error) return;
    waiting.delete(id);
    join(pair.data, pair.error, address, Number(port));
  });
}

function join(data: SpdyStream, error: SpdyStream, address: string, port: number): void {
  error.resume();
  const upstream = net.connect({ host: address, port, allowHalfOpen: true });
  upstream.on('error', (cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ECONNREFUSED' ? 'connect: connection refused' : cause.message;
    error.end(`error forwarding port ${port} to pod: dial tcp4 ${address}:${port}: ${why}`);
    data.end();
  });
  upstream.on('connect', () => {
    data.pipe(upstream);
    upstream.pipe(data);
  });
  upstream.on('close', () => {
    error.end();
    data.end();
  });
  data.on('close', () => upstream.destroy());
}
