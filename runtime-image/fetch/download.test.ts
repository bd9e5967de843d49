/** Large downloads in parts, against a real static server and against one that breaks and changes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Failure } from '../termination.ts';
import { temporaryFolder } from '../testing/process.ts';
import { PrivateHosts } from './address-policy.ts';
import { createAgent } from './connector.ts';
import { download } from './download.ts';
import { HttpClient } from './http-client.ts';
import { ByteBudget, PartialFile } from './partial-file.ts';
import { sha256, TestServer } from './testing/stage.ts';

type Serve = (request: IncomingMessage, response: ServerResponse, options: object) => Promise<void>;
const serveStatic: Serve = createRequire(import.meta.url)('serve-handler');

const partBytes = 1 << 16;
const content = randomBytes(10 * partBytes + 123);

describe('download', () => {
  let folder: string;
  beforeEach(() => {
    folder = temporaryFolder();
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function fetchFrom(server: TestServer, verified = false, maxBytes = 2 ** 30) {
    const privateHosts = new PrivateHosts([`http://${server.host}`]);
    const dispatcher = createAgent({ privateHosts });
    const client = new HttpClient({ dispatcher, privateHosts, http: false });
    const file = await PartialFile.create(join(folder, 'file'), new ByteBudget(maxBytes));
    try {
      const resource = { url: `${server.url}/model.onnx` };
      await download(resource, file, { client, verified, partBytes, retryDelayMs: 1 });
      return await file.seal();
    } finally {
      await file.close();
      await dispatcher.destroy();
    }
  }

  /** Ranges with a strong tag; `answer` may do otherwise and say so. */
  function ranged(
    body: () => Buffer,
    answer: (request: IncomingMessage, response: ServerResponse, count: number) => boolean = () => false,
  ): Promise<TestServer> {
    let count = 0;
    return TestServer.start((request, response) => {
      if (answer(request, response, count++)) return;
      const whole = body();
      const tag = `"${sha256(whole)}"`;
      const asked = /^bytes=(\d+)-(\d+)?$/.exec(request.headers.range ?? '');
      const same = request.headers['if-range'] === undefined || request.headers['if-range'] === tag;
      const head = { 'accept-ranges': 'bytes', etag: tag };
      if (asked === null || !same)
        return void response.writeHead(200, { ...head, 'content-length': whole.length }).end(whole);
      const [from, to] = [Number(asked[1]), Math.min(Number(asked[2] ?? whole.length - 1), whole.length - 1)];
      const part = whole.subarray(from, to + 1);
      response.writeHead(206, {
        ...head,
        'content-length': part.length,
        'content-range': `bytes ${from}-${to}/${whole.length}`,
      });
      response.end(part);
    });
  }

  it('fetches parts of a large file from a real static server', async () => {
    const site = temporaryFolder();
    try {
      writeFileSync(join(site, 'model.onnx'), content);
      await using server = await TestServer.start((request, response) => {
        void serveStatic(request, response, { public: site, etag: true });
      });
      assert.deepEqual(await fetchFrom(server), { sha256: sha256(content), bytes: content.length });
      const ranges = server.requests.filter(({ headers }) => headers['range'] !== undefined);
      assert.equal(ranges.length, 11);
    } finally {
      rmSync(site, { recursive: true });
    }
  });

  it('continues every part where its connection broke', async () => {
    const broken = new Set<string>();
    await using server = await ranged(
      () => content,
      (request, response) => {
        const { range = '' } = request.headers;
        const [, from = '0', to = '0'] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
        if (range === '' || Number(from) % partBytes !== 0 || broken.has(range)) return false;
        broken.add(range);
        const part = content.subarray(Number(from), Number(to) + 1);
        response.writeHead(206, { 'content-length': part.length, 'content-range': `bytes ${from}-${to}/*` });
        response.write(part.subarray(0, part.length >> 1), () => response.destroy());
        return true;
      },
    );
    assert.equal((await fetchFrom(server)).sha256, sha256(content));
    assert.equal(broken.size, 11);
  });

  it('never puts parts of two contents together', async () => {
    const other = randomBytes(content.length);
    let current = content;
    await using server = await ranged(
      () => current,
      (_request, _response, count) => {
        if (count === 5) current = other;
        return false;
      },
    );
    assert.equal((await fetchFrom(server)).sha256, sha256(other));
  });

  it('does not continue what only a weak tag or a time calls the same, unless the digest decides', async () => {
    for (const [head, verified, continued] of [
      [{ etag: 'W/"1"' }, false, false],
      [{ 'last-modified': new Date(0).toUTCString() }, false, false],
      [{ 'last-modified': new Date(0).toUTCString() }, true, true],
      [{ etag: '"1"' }, false, true],
    ] as const) {
      await using server = await TestServer.start((request, response) => {
        const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
        const part = content.subarray(from);
        const range =
          from > 0 ? { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` } : {};
        response.writeHead(from > 0 ? 206 : 200, { ...head, ...range, 'content-length': part.length });
        if (server.requests.length > 1) response.end(part);
        else response.write(part.subarray(0, 200_000), () => response.destroy());
      });
      assert.equal((await fetchFrom(server, verified)).sha256, sha256(content));
      assert.equal(server.requests.at(-1)?.headers['range'] !== undefined, continued, JSON.stringify(head));
      rmSync(join(folder, 'file'));
    }
  });

  it('takes no part for the whole', async () => {
    const part = content.subarray(0, 1000);
    await using server = await TestServer.start((_, response) => {
      response.writeHead(206, { etag: '"1"', 'content-range': `bytes 0-999/${content.length}` }).end(part);
    });
    await assert.rejects(fetchFrom(server), {
      reason: 'ArtifactCorrupt',
      message: `${server.url}/model.onnx answered with status 206, a part that was not asked for`,
    });
    assert.equal(server.requests.length, 1);
  });

  it('goes on until all is here when the server sends less than was asked for', async () => {
    await using server = await TestServer.start((request, response) => {
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      if (from === 0) {
        response.writeHead(200, { etag: '"1"', 'content-length': content.length });
        return void response.write(content.subarray(0, 200_000), () => response.destroy());
      }
      const part = content.subarray(from, from + 200_000);
      response.writeHead(206, {
        etag: '"1"',
        'content-length': part.length,
        'content-range': `bytes ${from}-${from + part.length - 1}/${content.length}`,
      });
      response.end(part);
    });
    assert.equal((await fetchFrom(server)).sha256, sha256(content));
  });

  it('begins again when the content has become shorter than what is here', async () => {
    const short = content.subarray(0, 1000);
    await using server = await TestServer.start((request, response) => {
      const first = server.requests.length === 1;
      if (request.headers.range !== undefined) return void response.writeHead(416).end();
      response.writeHead(200, { etag: '"1"', 'content-length': first ? content.length : short.length });
      if (first) response.write(content.subarray(0, 200_000), () => response.destroy());
      else response.end(short);
    });
    assert.equal((await fetchFrom(server)).sha256, sha256(short));
  });

  it('gives up when parts stay broken, and when a length is too much', async () => {
    await using server = await ranged(
      () => content,
      (request, response) => {
        if (!request.headers.range?.startsWith(`bytes=${3 * partBytes}-`)) return false;
        response.writeHead(503).end();
        return true;
      },
    );
    await assert.rejects(fetchFrom(server), (thrown) => {
      assert.ok(thrown instanceof Failure);
      return thrown.reason === 'ArtifactUnreachable' && /status 503/.test(thrown.message);
    });
    rmSync(join(folder, 'file'));
    await assert.rejects(fetchFrom(server, false, 1000), { reason: 'ArtifactTooLarge' });
  });

  it('ends an endless body at the limit', async () => {
    await using server = await TestServer.start((_, response) => {
      const more = () => {
        while (response.write(content));
      };
      response.on('drain', more);
      more();
    });
    await assert.rejects(fetchFrom(server, false, 5_000_000), { reason: 'ArtifactTooLarge' });
  });
});
