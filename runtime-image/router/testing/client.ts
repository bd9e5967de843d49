/** Clients that count what they get. */
import http from 'node:http';
import http2, { type ClientHttp2Session } from 'node:http2';
import { firstPort } from './world.ts';

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

export interface RequestOptions {
  readonly port?: number;
  readonly method?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string | Buffer;
  readonly agent?: http.Agent;
}

/** One HTTP/1.1 request. Rejects when the connection fails. */
export function request(address: string, path: string, options: RequestOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = http.request(
      {
        host: address,
        port: options.port ?? firstPort,
        path,
        method: options.method ?? (options.body === undefined ? 'GET' : 'POST'),
        ...(options.headers ? { headers: options.headers } : {}),
        ...(options.agent ? { agent: options.agent } : { agent: false }),
      },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (text: string) => {
          body += text;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        );
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(options.body);
  });
}

export interface GrpcAnswer {
  /** gRPC status, from trailers or from the headers of a trailers-only answer; -1: the stream broke. */
  readonly status: number;
  readonly headers: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: Buffer;
  /** True when headers ended the stream. */
  readonly trailersOnly: boolean;
  /** True when the server never looked at it, as when it was about to close: any client may send it again. */
  readonly refused: boolean;
  readonly code: number;
}

/** One call with one message, over a session that the caller owns. Never rejects. */
export function call(
  session: ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders = {},
  message: Buffer = Buffer.from([0, 0, 0, 0, 1, 42]),
): Promise<GrpcAnswer> {
  return new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/inference.GRPCInferenceService/ModelInfer',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let answered: http2.IncomingHttpHeaders = {};
    let trailers: http2.IncomingHttpHeaders = {};
    let trailersOnly = false;
    const chunks: Buffer[] = [];
    stream.on('response', (found, flags) => {
      answered = found;
      trailersOnly = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    });
    stream.on('trailers', (found) => {
      trailers = found;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => {});
    stream.on('close', () => {
      const status = trailers['grpc-status'] ?? answered['grpc-status'];
      resolve({
        status: status === undefined ? -1 : Number(status),
        headers: answered,
        trailers,
        body: Buffer.concat(chunks),
        trailersOnly,
        code: stream.rstCode ?? -1,
        refused: stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM,
      });
    });
    stream.end(message);
  });
}

/** A clear-text HTTP/2 connection to the router. */
export function connect(address: string, port: number = firstPort): ClientHttp2Session {
  const session = http2.connect(`http://${address}:${port}`);
  session.on('error', () => {});
  return session;
}

export interface Load {
  /** Ends the load, and tells how many of each kind of answer came: `200 5.0.0`, or an error's code. */
  stop(): Promise<Record<string, number>>;
  /** Answers so far. */
  readonly count: number;
}

/** Requests over HTTP/1.1, back to back, from several clients that keep their connections. */
export function httpLoad(
  address: string,
  clients: number,
  options: RequestOptions & { path?: string } = {},
): Load {
  const agent = new http.Agent({ keepAlive: true, maxSockets: clients });
  return load(
    clients,
    async () => {
      const answer = await request(address, options.path ?? '/v2/models/m/infer', {
        body: '{}',
        ...options,
        agent,
      });
      return `${answer.status} ${answer.headers['sluice-version']}`;
    },
    () => agent.destroy(),
  );
}

/** What a call that failed says of it. */
function messageOf({ headers, trailers }: GrpcAnswer): string {
  return String(trailers['grpc-message'] ?? headers['grpc-message'] ?? '');
}

/** gRPC calls, back to back, several at a time over one connection, which is renewed when the router ends it. */
export function grpcLoad(address: string, clients: number): Load {
  let session: ClientHttp2Session | undefined;
  const current = () => {
    if (session && !session.closed && !session.destroyed) return session;
    const fresh = connect(address);
    // A client of gRPC takes a new connection as soon as the server asks for that; calls under way go on.
    fresh.on('goaway', () => {
      if (session === fresh) session = undefined;
    });
    session = fresh;
    return fresh;
  };
  return load(
    clients,
    async () => {
      let answer = await call(current());
      // What every client of gRPC does: the specification calls it a transparent retry.
      while (answer.refused) answer = await call(current());
      return answer.status < 0
        ? `broken ${answer.code} ${answer.headers[':status']} ${answer.body.length}`
        : [answer.status, answer.headers['sluice-version'], messageOf(answer)]
            .filter((part) => part !== '')
            .join(' ');
    },
    () => session?.destroy(),
  );
}

function load(clients: number, one: () => Promise<string>, end: () => void): Load {
  const counts: Record<string, number> = {};
  let running = true;
  let count = 0;
  const work = Promise.all(
    Array.from({ length: clients }, async () => {
      while (running) {
        const outcome = await one().catch((error: NodeJS.ErrnoException) => `${error.code} ${error.message}`);
        counts[outcome] = (counts[outcome] ?? 0) + 1;
        count++;
      }
    }),
  );
  return {
    get count() {
      return count;
    },
    async stop() {
      running = false;
      await work;
      end();
      return counts;
    },
  };
}

/** Waits until the condition holds. @throws Error after `withinMs` */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  withinMs = 5000,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
