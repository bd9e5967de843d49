/**
 * An OCI registry for tests: what the distribution specification says of pushing and pulling blobs and manifests, and its
 * token protocol. `registryContract` runs the same checks against it and against a real one.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TestServer } from './stage.ts';

export interface RegistryOptions {
  /** Asks for a token, which the registry itself gives to this user. Pushing takes the password as well. */
  readonly user?: { readonly username: string; readonly password: string };
}

export class TestRegistry implements AsyncDisposable {
  readonly server: TestServer;

  static async start(options: RegistryOptions = {}): Promise<TestRegistry> {
    const blobs = new Map<string, Buffer>();
    const manifests = new Map<string, { readonly type: string; readonly content: Buffer }>();
    const tokens = new Set<string>();
    const server: TestServer = await TestServer.start(async (request, response) => {
      const url = new URL(request.url ?? '/', server.url);
      const content = await read(request);
      if (url.pathname === '/token') return giveToken(request, response, url, tokens, options);
      if (options.user !== undefined && !isAllowed(request, tokens, options.user)) {
        const realm = `Bearer realm="${server.url}/token",service="tests",scope="repository:any:push,pull"`;
        return void response.writeHead(401, { 'www-authenticate': realm }).end();
      }
      const [, kind, reference = ''] = /\/(blobs|manifests)\/(.*)$/.exec(url.pathname) ?? [];
      if (request.method === 'POST' && reference === 'uploads/') {
        return void response.writeHead(202, { location: `${url.pathname}${randomUUID()}` }).end();
      }
      if (request.method === 'PUT' && kind === 'blobs') {
        blobs.set(url.searchParams.get('digest') ?? '', content);
        return void response.writeHead(201).end();
      }
      if (request.method === 'PUT' && kind === 'manifests') {
        const manifest = { type: request.headers['content-type'] ?? '', content };
        manifests.set(reference, manifest).set(digestOf(content), manifest);
        return void response.writeHead(201).end();
      }
      const manifest = kind === 'manifests' ? manifests.get(reference) : undefined;
      if (manifest !== undefined) {
        return void response.writeHead(200, { 'content-type': manifest.type }).end(manifest.content);
      }
      const blob = kind === 'blobs' ? blobs.get(reference) : undefined;
      if (blob === undefined) return void response.writeHead(404).end();
      const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(from > 0 ? 206 : 200, {
        'accept-ranges': 'bytes',
        etag: `"${reference}"`,
        'content-length': blob.length - from,
        ...(from > 0 ? { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` } : {}),
      });
      response.end(blob.subarray(from));
    });
    return new TestRegistry(server);
  }

  private constructor(server: TestServer) {
    this.server = server;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }
}

type User = NonNullable<RegistryOptions['user']>;

function isAllowed(request: IncomingMessage, tokens: ReadonlySet<string>, user: User): boolean {
  const given = request.headers.authorization ?? '';
  if (request.method !== 'GET' && given === basicOf(user)) return true;
  return tokens.has(given.replace(/^Bearer /, ''));
}

const basicOf = ({ username, password }: User): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

function giveToken(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  tokens: Set<string>,
  { user }: RegistryOptions,
): void {
  const expected = user === undefined ? undefined : basicOf(user);
  if (request.headers.authorization !== expected || url.searchParams.get('service') !== 'tests')
    return void response.writeHead(401).end();
  const token = randomUUID();
  tokens.add(token);
  response.end(JSON.stringify({ token }));
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export const digestOf = (content: string | Buffer): string =>
  `sha256:${createHash('sha256').update(content).digest('hex')}`;

export interface Layer {
  readonly mediaType: string;
  readonly content: Buffer;
  readonly annotations?: Readonly<Record<string, string>>;
}

export const manifestType = 'application/vnd.oci.image.manifest.v1+json';
export const indexType = 'application/vnd.oci.image.index.v1+json';
const emptyConfig = Buffer.from('{}');

/** Pushes as `oras` and `docker` do. */
export class Pusher {
  readonly #repository: string;
  readonly #authorization: string | undefined;

  /** @param repository its URL, `http://host/v2/name` */
  constructor(repository: string, authorization?: string) {
    this.#repository = repository;
    this.#authorization = authorization;
  }

  /** @returns the manifest's digest, `sha256:…` */
  async push(reference: string, layers: readonly Layer[]): Promise<string> {
    for (const { content } of [...layers, { content: emptyConfig }]) await this.#blob(content);
    const manifest = {
      schemaVersion: 2,
      mediaType: manifestType,
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: digestOf(emptyConfig),
        size: emptyConfig.length,
      },
      layers: layers.map(({ mediaType, content, annotations }) => ({
        mediaType,
        digest: digestOf(content),
        size: content.length,
        ...(annotations === undefined ? {} : { annotations }),
      })),
    };
    return this.manifest(reference, manifestType, JSON.stringify(manifest));
  }

  async manifest(reference: string, type: string, content: string): Promise<string> {
    await this.#call('PUT', `${this.#repository}/manifests/${reference}`, Buffer.from(content), type);
    return digestOf(content);
  }

  async #blob(content: Buffer): Promise<void> {
    const begun = await this.#call('POST', `${this.#repository}/blobs/uploads/`);
    const place = new URL(begun.headers.get('location') ?? '', this.#repository);
    place.searchParams.set('digest', digestOf(content));
    await this.#call('PUT', place.href, content, 'application/octet-stream');
  }

  async #call(method: string, url: string, body?: Buffer, type?: string): Promise<Response> {
    const headers = {
      ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }),
      ...(type === undefined ? {} : { 'content-type': type }),
    };
    const answer = await fetch(url, {
      method,
      headers,
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${text}`);
    return answer;
  }
}
