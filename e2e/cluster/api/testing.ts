/** For tests: a server of their own in a folder of their own, and the smallest client that shows what went over the wire. */
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { request as httpRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Json, JsonObject } from './json.ts';
import { type ApiServer, startApiServer } from './server.ts';

export interface Answer {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON; of a stream, its first line. */
  readonly body: JsonObject;
}

export interface Asking {
  readonly token?: string;
  readonly type?: string;
  readonly accept?: string;
  readonly headers?: Record<string, string>;
}

export interface TestServer extends ApiServer {
  ask(method: string, path: string, body?: Json, how?: Asking): Promise<Answer>;
  /** Starts a watch; `next` waits for one event. */
  watch(path: string): Promise<TestWatch>;
}

export interface TestWatch {
  next(): Promise<{ type: string; object: JsonObject }>;
  /** Settles when the stream ends, whichever way. */
  readonly ended: Promise<void>;
  stop(): void;
}

export async function startTestServer(): Promise<TestServer> {
  const dataDir = await mkdtemp(join(tmpdir(), 'api-'));
  const errors: string[] = [];
  const server = await startApiServer({
    host: '127.0.0.1',
    port: 0,
    dataDir,
    serviceCidr: '10.96.0.0/16',
    logger: { error: (message, details) => errors.push(`${message} ${JSON.stringify(details)}`) },
  });
  const admin = server.tokenFor('admin');
  const connect = (method: string, path: string, how: Asking, payload?: string) =>
    httpRequest(`${server.url}${path}`, {
      method,
      ca: server.caPem,
      agent: false,
      headers: {
        authorization: `Bearer ${how.token ?? admin}`,
        accept: how.accept ?? 'application/json',
        ...(payload === undefined
          ? {}
          : { 'content-type': how.type ?? 'application/json', 'content-length': Buffer.byteLength(payload) }),
        ...how.headers,
      },
    });
  return {
    ...server,
    ask: (method, path, body, how = {}) =>
      new Promise((resolve, reject) => {
        const payload =
          body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
        const request = connect(method, path, how, payload);
        request.on('error', reject);
        request.on('response', (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (part: string) => {
            text += part;
          });
          response.on('error', reject);
          response.on('end', () =>
            resolve({ code: response.statusCode!, headers: response.headers, text, body: firstJson(text) }),
          );
        });
        request.end(payload);
      }),
    watch: (path) =>
      new Promise((resolve, reject) => {
        const request = connect('GET', path, {});
        request.on('error', reject);
        request.on('response', (response) => resolve(reading(request, response)));
        request.end();
      }),
    stop: async () => {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
      if (errors.length > 0) throw new Error(`the server failed inside: ${errors.join('\n')}`);
    },
  };
}

function firstJson(text: string): JsonObject {
  try {
    return JSON.parse(text) as JsonObject;
  } catch {
    const [line = ''] = text.split('\n');
    return line.startsWith('{') ? (JSON.parse(line) as JsonObject) : {};
  }
}

function reading(request: ReturnType<typeof httpRequest>, response: NodeJS.ReadableStream): TestWatch {
  const queue: string[] = [];
  const waiting: ((line: string) => void)[] = [];
  let rest = '';
  response.setEncoding('utf8');
  response.on('data', (part: string) => {
    const lines = (rest + part).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const taker = waiting.shift();
      if (taker) taker(line);
      else queue.push(line);
    }
  });
  const ended = new Promise<void>((resolve) => {
    response.on('end', resolve);
    response.on('error', () => resolve());
    response.on('close', () => resolve());
  });
  return {
    ended,
    next: async () => {
      const line = queue.shift() ?? (await new Promise<string>((resolve) => waiting.push(resolve)));
      return JSON.parse(line) as { type: string; object: JsonObject };
    },
    stop: () => request.destroy(),
  };
}
