/** The fetcher against a server that behaves well, badly and unreliably; and as the process that a pod runs. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import winston from 'winston';
import { artifactMetrics, artifactRecordFile, env, type FailureReason, modelFile } from '#contract';
import { Failure } from '../termination.ts';
import { ImageProcess, temporaryFolder } from '../testing/process.ts';
import type { FetchConfig } from './config.ts';
import { fetchArtifact } from './fetch-artifact.ts';
import { findStored } from './store.ts';

const content = Buffer.alloc(300_000, 'an artifact ');
const sha256 = createHash('sha256').update(content).digest('hex');
const logger = winston.createLogger({ silent: true });

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Serves the content with ranges. */
const wellBehaved: Handler = (request, response) => {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const part = content.subarray(from);
  const head = { 'Content-Length': part.byteLength, ETag: '"one"' };
  if (from > 0)
    response.writeHead(206, {
      ...head,
      'Content-Range': `bytes ${from}-${content.length - 1}/${content.length}`,
    });
  else response.writeHead(200, head);
  response.end(part);
};

describe('fetchArtifact', () => {
  let server: Server;
  let port: number;
  let folder: string;
  let handler: Handler;
  let requests: IncomingMessage[];

  before(async () => {
    server = createServer((request, response) => {
      requests.push(request);
      handler(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach((context) => {
    handler = wellBehaved;
    requests = [];
    folder = temporaryFolder();
    const made = folder;
    if ('after' in context) context.after(() => rm(made, { recursive: true, force: true }));
  });

  const config = (overrides: Partial<FetchConfig> = {}): FetchConfig => ({
    uri: `http://127.0.0.1:${port}/model.onnx`,
    sha256,
    modelDir: folder,
    schemes: ['http', 'file'],
    privateHosts: [`127.0.0.1:${port}`],
    files: [],
    endpoints: {},
    fileRoot: undefined,
    claimRoot: undefined,
    cacheDir: undefined,
    owner: undefined,
    maxBytes: 10_000_000,
    credentials: {},
    ...overrides,
  });

  async function refuses(
    overrides: Partial<FetchConfig>,
    reason: FailureReason,
    message: RegExp,
  ): Promise<void> {
    await assert.rejects(fetchArtifact(config(overrides), logger), (thrown) => {
      assert.ok(thrown instanceof Failure, String(thrown));
      assert.match(thrown.message, message);
      assert.equal(thrown.reason, reason);
      return true;
    });
    assert.deepEqual(readdirSync(folder), [], 'nothing is left behind');
  }

  it('stores what it fetched under its name, and finds it again', async () => {
    const { uri } = config();
    const record = {
      uri,
      digest: sha256,
      files: [{ path: modelFile, bytes: content.length, sha256 }],
    };
    assert.deepEqual(await fetchArtifact(config(), logger), record);
    assert.deepEqual(readFileSync(join(folder, modelFile)), content);
    const found = (wanted: Partial<FetchConfig>) =>
      findStored(folder, { uri: 'any', sha256: undefined, files: [], ...wanted });
    assert.deepEqual(await found({ sha256 }), record);
    assert.equal(await found({}), undefined, 'another URI without a digest proves nothing');
    assert.deepEqual(await found({ uri }), record);
    assert.equal(await found({ uri, files: [{ path: 'weights.bin' }] }), undefined);
    writeFileSync(join(folder, modelFile), 'tampered with');
    assert.equal(await found({ uri }), undefined);
  });

  it('continues where a connection broke', async () => {
    let broken = 0;
    handler = (request, response) => {
      if (broken++ > 0) return wellBehaved(request, response);
      response.writeHead(200, { 'Content-Length': content.length, ETag: '"one"' });
      response.write(content.subarray(0, 100_000), () => response.destroy());
    };
    assert.equal((await fetchArtifact(config(), logger)).digest, sha256);
    assert.match(requests[1]?.headers.range ?? '', /^bytes=[1-9]\d*-$/);
    assert.equal(requests[1]?.headers['if-range'], '"one"');
  });

  it('starts again when the server has no ranges', async () => {
    handler = (_, response) => {
      const first = requests.length === 1;
      response.writeHead(200, { 'Content-Length': content.length });
      if (first) response.write(content.subarray(0, 100_000), () => response.destroy());
      else response.end(content);
    };
    assert.equal((await fetchArtifact(config(), logger)).digest, sha256);
  });

  it('gives up on a server that stays broken, within seconds', async () => {
    handler = (_, response) => response.writeHead(503).end();
    await refuses({}, 'ArtifactUnreachable', /answered with status 503/);
    assert.equal(requests.length, 4);
  });

  it('follows redirects, and sends credentials to the first origin only', async () => {
    const elsewhere = createServer((request, response) => {
      requests.push(request);
      wellBehaved(request, response);
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
    const other = (elsewhere.address() as AddressInfo).port;
    handler = (_, response) => response.writeHead(302, { Location: `http://127.0.0.1:${other}/blob` }).end();
    try {
      await fetchArtifact(
        config({ credentials: { authorization: 'Bearer secret' }, privateHosts: ['127.0.0.1'] }),
        logger,
      );
      assert.deepEqual(
        requests.map((request) => request.headers.authorization),
        ['Bearer secret', undefined],
      );
    } finally {
      elsewhere.closeAllConnections();
      elsewhere.close();
    }
  });

  const statuses: readonly [status: number, reason: FailureReason][] = [
    [401, 'ArtifactUnauthorized'],
    [403, 'ArtifactUnauthorized'],
    [404, 'ArtifactNotFound'],
    [410, 'ArtifactNotFound'],
    [400, 'ArtifactRefused'],
  ];
  for (const [status, reason] of statuses) {
    it(`calls status ${status} ${reason}`, async () => {
      handler = (_, response) => response.writeHead(status).end();
      await refuses({}, reason, new RegExp(`answered with status ${status}$`));
      assert.equal(requests.length, 1, 'no retry helps');
    });
  }

  it('refuses content with another digest, too much of it, and other encodings', async () => {
    await refuses(
      { sha256: '0'.repeat(64) },
      'ArtifactCorrupt',
      /^the artifact's SHA-256 is .* it has to be 0000/,
    );
    await refuses({ maxBytes: 1000 }, 'ArtifactTooLarge', /has 300000 bytes; at most 1000/);
    handler = (_, response) => {
      // No length: only counting tells.
      response.write(content);
      response.end(content);
    };
    await refuses({ maxBytes: 400_000 }, 'ArtifactTooLarge', /larger than 400000 bytes/);
    handler = (_, response) => response.writeHead(200, { 'Content-Encoding': 'gzip' }).end('x');
    await refuses({}, 'ArtifactCorrupt', /content encoding gzip/);
  });

  it('refuses addresses that are not public, in every spelling and along redirects', async () => {
    const none = { privateHosts: [], schemes: ['http'] };
    for (const host of [
      '127.0.0.1',
      '2130706433',
      '0x7f000001',
      '0177.0.0.1',
      '127.1',
      'localhost',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '0.0.0.0',
    ]) {
      await refuses(
        { ...none, uri: `http://${host}:${port}/x` },
        'ArtifactRefused',
        /must not be connected to: .* address/,
      );
    }
    assert.equal(requests.length, 0, 'not one connection was made');
    handler = (_, response) =>
      response.writeHead(302, { Location: 'http://169.254.169.254/latest/meta-data' }).end();
    await refuses({}, 'ArtifactRefused', /169\.254\.169\.254 must not be connected to: link-local address/);
    handler = (_, response) => response.writeHead(302, { Location: '/again' }).end();
    await refuses({}, 'ArtifactRefused', /redirects more than 5 times/);
    handler = (_, response) => response.writeHead(302, { Location: 'file:///etc/passwd' }).end();
    await refuses({}, 'ArtifactRefused', /file is not allowed here/);
  });

  it('refuses URIs that the cluster does not allow', async () => {
    const cases: readonly [uri: string, message: RegExp][] = [
      ['http://example.com/x', /^http artifacts are not allowed here; allowed are https$/],
      ['file:///etc/passwd', /^file artifacts are not allowed here/],
      ['https://user:pass@example.com/x', /must not hold credentials/],
      ['https://', /is not a valid URI; it has to look like https:\/\/host\/path/],
      ['no scheme', /no URI with a scheme/],
      ['javascript:1', /^javascript artifacts are not allowed/],
    ];
    for (const [uri, message] of cases) await refuses({ uri, schemes: [] }, 'ArtifactRefused', message);
    await refuses(
      { uri: 'ftp://host/x', schemes: ['ftp'] },
      'ArtifactUnsupported',
      /ftp artifacts are not supported by this image/,
    );
  });

  it('opens files below the root, and nothing else', async () => {
    const root = temporaryFolder();
    try {
      mkdirSync(join(root, 'inside/deep'), { recursive: true });
      writeFileSync(join(root, 'inside/deep/model.onnx'), content);
      writeFileSync(join(root, 'secret'), 'secret');
      symlinkSync('../secret', join(root, 'inside/link'));
      const fileRoot = join(root, 'inside');
      for (const uri of [
        'file:deep/model.onnx',
        'file:///deep/model.onnx',
        'file://deep/model.onnx',
        'file:/deep/%6dodel.onnx',
      ]) {
        assert.equal((await fetchArtifact(config({ uri, fileRoot }), logger)).digest, sha256);
        await rm(join(folder, modelFile));
        await rm(join(folder, artifactRecordFile));
      }
      await refuses({ uri: 'file:../secret', fileRoot }, 'ArtifactRefused', /does not name a file below/);
      await refuses({ uri: 'file:%2e%2e/secret', fileRoot }, 'ArtifactRefused', /does not name a file below/);
      await refuses({ uri: 'file:link', fileRoot }, 'ArtifactRefused', /leads out of the folder/);
      await refuses({ uri: 'file:deep', fileRoot }, 'ArtifactRefused', /is not a regular file/);
      await refuses({ uri: 'file:nope.onnx', fileRoot }, 'ArtifactNotFound', /does not exist/);
      await refuses({ uri: 'file:x%00y', fileRoot }, 'ArtifactRefused', /does not name a file below/);
    } finally {
      await rm(root, { recursive: true });
    }
  });

  it('removes partial files that nobody writes to any more, and no others', async () => {
    for (const name of ['.partial-old', '.partial-new']) writeFileSync(join(folder, name), 'x');
    utimesSync(join(folder, '.partial-old'), new Date(0), new Date(0));
    await fetchArtifact(config(), logger);
    assert.deepEqual(readdirSync(folder).sort(), [artifactRecordFile, '.partial-new', modelFile]);
  });

  it('as a process leaves the digest, or the reason, in the termination message', async () => {
    const variables = {
      [env.artifactUri]: `http://127.0.0.1:${port}/model.onnx`,
      [env.artifactSchemes]: 'http',
      [env.artifactPrivateHosts]: `127.0.0.1:${port}`,
      [env.modelDir]: folder,
    };
    await using good = new ImageProcess('fetch', variables);
    assert.equal(await good.exited, 0, JSON.stringify(good.log));
    const { termination } = good;
    assert.ok(termination.ok);
    assert.deepEqual([termination.digest, termination.bytes], [sha256, content.length]);
    await using again = new ImageProcess('fetch', { ...variables, [env.artifactSha256]: sha256 });
    assert.equal(await again.exited, 0);
    assert.equal(requests.length, 1, 'what is there already is not fetched again');
    await using bad = new ImageProcess('fetch', { ...variables, [env.artifactUri]: 'file:x' });
    assert.equal(await bad.exited, 1);
    assert.deepEqual(bad.termination, {
      ok: false,
      reason: 'ArtifactRefused',
      message: 'file artifacts are not allowed here; allowed are https, http',
    });
  });

  it('as a process tells how far it is, while it fetches', async () => {
    const half = content.length / 2;
    const rest = Promise.withResolvers<void>();
    handler = (_, response) => {
      response.writeHead(200, { 'Content-Length': content.length });
      response.write(content.subarray(0, half));
      void rest.promise.then(() => response.end(content.subarray(half)));
    };
    const variables = {
      [env.artifactUri]: `http://127.0.0.1:${port}/model.onnx`,
      [env.artifactSchemes]: 'http',
      [env.artifactPrivateHosts]: `127.0.0.1:${port}`,
      [env.bindAddress]: '127.0.0.1',
    };
    const told = 'tells how far fetching is';
    await using fetching = new ImageProcess('fetch', {
      ...variables,
      [env.modelDir]: folder,
      [env.metricsPort]: '0',
    });
    const { address } = (await fetching.logged(told)) as { address: { port: number } };
    const metrics = async () => (await fetch(`http://127.0.0.1:${address.port}/metrics`)).text();
    const halfway = new RegExp(`^${artifactMetrics.fetched} ${half}$`, 'm');
    while (!halfway.test(await metrics())) await pause(5);
    assert.match(await metrics(), new RegExp(`^${artifactMetrics.size} ${content.length}$`, 'm'));

    // Another one that cannot listen fetches all the same.
    await using deaf = new ImageProcess('fetch', {
      ...variables,
      [env.modelDir]: join(fetching.folder, 'model'),
      [env.metricsPort]: String(address.port),
    });
    await deaf.logged('nobody can be told how far fetching is');
    rest.resolve();
    assert.deepEqual([await fetching.exited, await deaf.exited], [0, 0], 'who asks keeps nobody from ending');
  });
});
