/** The cache: restarts without the network, damage, and many writers at once. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { env } from '#contract';
import { ImageProcess, temporaryFolder } from '../testing/process.ts';
import { rawTar } from './testing/archives.ts';
import { Stage, sha256, TestServer } from './testing/stage.ts';

const content = Buffer.alloc(500_000, 'a model ');
const digest = sha256(content);
const archive = gzipSync(rawTar([{ path: 'vad/model.onnx', content }]));

describe('the cache', () => {
  let cacheDir: string;
  let server: TestServer;
  let served: Readonly<Record<string, Buffer>>;

  beforeEach(async () => {
    cacheDir = temporaryFolder();
    served = { '/model.onnx': content, '/weights.bin': Buffer.from('weights'), '/a.tgz': archive };
    server = await TestServer.start((request, response) => {
      const found = served[request.url ?? ''];
      if (found === undefined) response.writeHead(404).end();
      else response.end(found);
    });
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(cacheDir, { recursive: true, force: true });
  });

  const stage = () => new Stage({ cacheDir, owner: 'uid-1', schemes: ['http'], privateHosts: [server.host] });
  const blobs = () => readdirSync(join(cacheDir, 'blobs', 'sha256'));

  it('serves a digest that was fetched before, from whatever URI', async () => {
    using first = stage();
    await first.fetch({ uri: `${server.url}/model.onnx`, sha256: digest });
    served = {};
    using again = stage();
    await again.fetch({ uri: `${server.url}/elsewhere.onnx`, sha256: digest, owner: 'uid-2' });
    assert.deepEqual(again.files(), first.files());
    assert.equal(server.requests.length, 1);
    using archived = stage();
    await archived.refuses(
      { uri: `${server.url}/other`, sha256: sha256('other') },
      'ArtifactNotFound',
      /404/,
    );
  });

  it('remembers for the same version what a URI without a digest brought, files beside it included', async () => {
    const wanted = () => ({ uri: `${server.url}/model.onnx`, files: [{ path: 'weights.bin' }] });
    using first = stage();
    await first.fetch(wanted());
    served = { '/model.onnx': Buffer.from('another'), '/weights.bin': Buffer.from('others') };
    using again = stage();
    await again.fetch(wanted());
    assert.deepEqual(again.files(), first.files());
    assert.equal(server.requests.length, 2);
    using other = stage();
    await other.fetch({ ...wanted(), owner: 'uid-2' });
    assert.deepEqual(other.files(), { 'model.onnx': 'another', 'weights.bin': 'others' });
  });

  it('holds archives as they are', async () => {
    using first = stage();
    await first.fetch({ uri: `${server.url}/a.tgz`, sha256: sha256(archive) });
    served = {};
    using again = stage();
    await again.fetch({ uri: `${server.url}/a.tgz`, sha256: sha256(archive) });
    assert.deepEqual(again.files(), { 'vad/model.onnx': content.toString() });
  });

  it('is never believed: what was changed in it is removed and fetched anew', async () => {
    using first = stage();
    await first.fetch({ uri: `${server.url}/model.onnx`, sha256: digest });
    const [name = ''] = blobs();
    assert.equal(name, digest);
    writeFileSync(join(cacheDir, 'blobs', 'sha256', name), 'evil');
    using again = stage();
    await again.fetch({ uri: `${server.url}/model.onnx`, sha256: digest });
    assert.deepEqual(again.files(), first.files());
    assert.equal(server.requests.length, 2);
    assert.deepEqual(readFileSync(join(cacheDir, 'blobs', 'sha256', digest)), content, 'and is right again');
  });

  it('is no place for what turned out wrong', async () => {
    using it = stage();
    await it.refuses(
      { uri: `${server.url}/model.onnx`, sha256: '0'.repeat(64) },
      'ArtifactCorrupt',
      /has to be 0000/,
    );
    assert.deepEqual(blobs(), []);
  });

  it('is not needed: where it cannot be used, everything goes on', async () => {
    writeFileSync(join(cacheDir, 'blobs'), 'no folder');
    using it = stage();
    assert.equal((await it.fetch({ uri: `${server.url}/model.onnx`, sha256: digest })).digest, digest);
  });

  it('bears many processes that fetch the same at once', async () => {
    const uri = `${server.url}/model.onnx`;
    const folders = Array.from({ length: 4 }, temporaryFolder);
    const processes = folders.map(
      (folder) =>
        new ImageProcess('fetch', {
          [env.artifactUri]: uri,
          [env.artifactSha256]: digest,
          [env.artifactSchemes]: 'http',
          [env.artifactPrivateHosts]: server.host,
          [env.cacheDir]: cacheDir,
          [env.modelDir]: folder,
        }),
    );
    try {
      for (const [index, process] of processes.entries()) {
        assert.equal(await process.exited, 0, JSON.stringify(process.log));
        assert.deepEqual(readFileSync(join(folders[index] ?? '', 'model.onnx')), content);
      }
      assert.deepEqual(blobs(), [digest], 'one copy, and nothing partial');
    } finally {
      for (const process of processes) await process[Symbol.asyncDispose]();
      for (const folder of folders) rmSync(folder, { recursive: true, force: true });
    }
  });
});
