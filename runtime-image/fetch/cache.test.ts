/** The cache: restarts without the network, damage, and many writers at once. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { env } from '#contract';
import { ImageProcess, temporaryFolder } from '../testing/process.ts';
import { Cache } from './cache.ts';
import { ByteBudget, full, PartialFile } from './partial-file.ts';
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

  describe('on a volume with little room', () => {
    const warnings: string[] = [];
    const open = async (freeBytes: () => number) => {
      warnings.length = 0;
      const cache = await Cache.open(
        cacheDir,
        (why) => warnings.push(why),
        async () => freeBytes(),
      );
      assert.ok(cache);
      return cache;
    };
    const used = () =>
      blobs().reduce((sum, name) => sum + lstatSync(join(cacheDir, 'blobs', 'sha256', name)).size, 0);
    const capacity = 1000;
    const opened = () => open(() => capacity - used());
    const add = async (cache: Cache, size: number, name: string, usedAt: number) => {
      const bytes = Buffer.alloc(size, name);
      const hash = sha256(bytes);
      await cache.add(hash, bytes);
      if (blobs().includes(hash)) utimesSync(join(cacheDir, 'blobs', 'sha256', hash), usedAt, usedAt);
      return hash;
    };

    it('removes what was used longest ago, and no more than it has to', async () => {
      const cache = await opened();
      const [newer, older, newest] = [
        await add(cache, 300, 'a', 200),
        await add(cache, 300, 'b', 100),
        await add(cache, 300, 'c', 300),
      ];
      const added = await add(cache, 350, 'd', 400);
      assert.deepEqual(new Set(blobs()), new Set([newer, newest, added]), `without ${older}`);
      assert.deepEqual(warnings, []);
    });

    it('removes nothing for what would not fit anyway', async () => {
      const cache = await opened();
      const kept = [await add(cache, 300, 'a', 100), await add(cache, 300, 'b', 200)];
      await add(cache, 1001, 'c', 300);
      assert.deepEqual(new Set(blobs()), new Set(kept));
      assert.match(warnings.join(), /could not take sha256:[0-9a-f]{64}: 1001 bytes are more than/);
    });

    it('clears away folders that somebody has put there', async () => {
      const folder = join(cacheDir, 'blobs', 'sha256', 'folder');
      mkdirSync(join(folder, 'within'), { recursive: true });
      utimesSync(folder, 1, 1);
      const cache = await open(() => (existsSync(folder) ? 0 : capacity));
      assert.deepEqual(blobs(), ['folder']);
      const added = await add(cache, 100, 'a', 100);
      assert.deepEqual(blobs(), [added]);
    });
  });

  it('follows no links, waits for no pipe and reads nothing large where it expects something small', async () => {
    const cache = await Cache.open(cacheDir, () => undefined);
    assert.ok(cache);
    const uri = `${server.url}/model.onnx`;
    await cache.add(digest, content);
    await cache.remember('uid-1', uri, { digest, files: {} });
    assert.deepEqual(await cache.recall('uid-1', uri), { digest, files: {} });
    const [memory = ''] = readdirSync(join(cacheDir, 'artifacts'));
    for (const path of [join(cacheDir, 'artifacts', memory), join(cacheDir, 'blobs', 'sha256', digest)]) {
      const real = `${path}.real`;
      renameSync(path, real);
      const both = async () => [
        await cache.recall('uid-1', uri),
        await cache.document(digest, content.byteLength),
      ];
      symlinkSync(real, path);
      assert.ok((await both()).includes(undefined), 'a link');
      rmSync(path);
      execFileSync('mkfifo', [path]);
      assert.ok((await both()).includes(undefined), 'a pipe');
      rmSync(path);
      renameSync(real, path);
    }
    assert.deepEqual(await cache.document(digest, content.byteLength), content);
    assert.equal(await cache.document(digest, content.byteLength - 1), undefined);
    truncateSync(join(cacheDir, 'artifacts', memory), 2 ** 30);
    assert.equal(await cache.recall('uid-1', uri), undefined);
  });

  it('is no reason to fail, whatever reading it throws', async () => {
    const warnings: string[] = [];
    const cache = await Cache.open(cacheDir, (why) => warnings.push(why));
    assert.ok(cache);
    await cache.add(digest, content);
    const folder = temporaryFolder();
    const file = await PartialFile.create(join(folder, 'model.onnx'), new ByteBudget(2 ** 20));
    try {
      file.write = async () => {
        throw Object.assign(new Error('EREMOTEIO: remote I/O error, read'), { code: 'EREMOTEIO' });
      };
      assert.equal(await cache.read(digest, file), false);
      assert.match(warnings.join(), /cannot be read: EREMOTEIO/);
      file.write = async () => full(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' }));
      await assert.rejects(cache.read(digest, file), { reason: 'VolumeFull' });
    } finally {
      await file.close();
      rmSync(folder, { recursive: true });
    }
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
