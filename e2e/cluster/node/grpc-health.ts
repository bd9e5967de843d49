/**
 * One question of `grpc.health.v1.Health/Check` over clear-text HTTP/2. Not by @grpc/grpc-js: a client of that, when closed
 * while the server is silent, leaves its connection open, so every probe of a hung container would leak one.
 */
import http2 from 'node:http2';

/** Codes of grpc-status that probes tell apart. */
export const grpcStatus = { ok: 0, deadlineExceeded: 4, unimplemented: 12, unavailable: 14 } as const;

export type HealthAnswer =
  /** 1 is SERVING. */
  { readonly serving: number } | { readonly code: number; readonly details: string };

/** `timeout` in milliseconds, connecting included. Never rejects; the connection is gone when it resolves. */
export function checkHealth(
  host: string,
  port: number,
  service: string,
  timeout: number,
): Promise<HealthAnswer> {
  return new Promise((resolve) => {
    const session = http2.connect(`http://${host}:${port}`);
    const finish = (answer: HealthAnswer) => {
      clearTimeout(timer);
      session.destroy();
      resolve(answer);
    };
    const fail = (error: Error) => finish({ code: grpcStatus.unavailable, details: error.message });
    const timer = setTimeout(
      () => finish({ code: grpcStatus.deadlineExceeded, details: 'deadline exceeded' }),
      timeout,
    );
    session.on('error', fail);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'kube-probe/1.36',
      'grpc-timeout': `${Math.ceil(timeout)}m`,
    });
    const chunks: Buffer[] = [];
    let head: http2.IncomingHttpHeaders = {};
    let trailers: http2.IncomingHttpHeaders = {};
    stream.on('response', (headers) => {
      head = headers;
    });
    stream.on('trailers', (headers) => {
      trailers = headers;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', fail);
    stream.on('end', () => {
      if (head[':status'] !== undefined && Number(head[':status']) !== 200) {
        finish({ code: grpcStatus.unimplemented, details: `unexpected HTTP status code ${head[':status']}` });
        return;
      }
      // An answer without a message carries its status in the head.
      const code = Number(trailers['grpc-status'] ?? head['grpc-status'] ?? 2);
      const details = String(trailers['grpc-message'] ?? head['grpc-message'] ?? '');
      finish(code === grpcStatus.ok ? { serving: servingOf(Buffer.concat(chunks)) } : { code, details });
    });
    stream.end(requestOf(service));
  });
}

/** A length-prefixed `HealthCheckRequest`: the service's name is field 1. */
function requestOf(service: string): Buffer {
  const name = Buffer.from(service);
  const length: number[] = [];
  for (let rest = name.length; rest > 0; rest >>>= 7) length.push(rest > 127 ? (rest & 127) | 128 : rest);
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...length]), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Field 1, an enum, of a length-prefixed `HealthCheckResponse`; absent means 0. */
function servingOf(frame: Buffer): number {
  return frame[5] === 0x08 ? (frame[6] ?? 0) : 0;
}
