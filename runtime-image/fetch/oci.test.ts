/**
 * `oci:` against the registry of these tests, and the same against real ones: Debian's `docker-registry` where it is on the PATH,
 * and any that SLUICE_TEST_REGISTRY names (`http://host:port`, with a user as `http://user:password@host:port`).
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { create } from 'tar';
import { temporaryFolder } from '../testing/process.ts';

import { digestOf, indexType, manifestType, Pusher, TestRegistry } from './testing/registry.ts';
import { Stage, TestServer } from './testing/stage.ts';

const title = 'org.opencontainers.image.title';
const rawType = 'application/octet-stream';
const model = Buffer.from('a model');
const weights = Buffer.alloc(200_000, 'weights ');

interface Running {
  /** `http://host:port` */
  readonly url: string;
  stop(): Promise<void>;
}

interface User {
  readonly username: string;
  readonly password: string;
}

const basicOf = ({ username, password }: User): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

/** What every registry has to do, with the fetcher's behaviour that depends on it. */
function registryContract(name: string, start: () => Promise<Running>, user?: User): void {
  const basic = user === undefined ? undefined : basicOf(user);
  describe(`oci, with ${name}`, () => {
    let running: Running;
    let repository: string;
    let pusher: Pusher;
    before(async () => {
      running = await start();
      repository = `models/${randomUUID().slice(0, 8)}`;
      pusher = new Pusher(`${running.url}/v2/${repository}`, basic);
    });
    after(() => running.stop());

    const stage = () => {
      const { host } = new URL(running.url);
      return new Stage({
        privateHosts: [`http://${host}`],
        credentials: basic === undefined ? {} : { authorization: basic },
      });
    };
    const uri = (reference: string) => `oci://${new URL(running.url).host}/${repository}${reference}`;

    it('fetches one file by tag and by digest, and verifies either digest', async () => {
      const digest = await pusher.push('6.0.0', [
        { mediaType: rawType, content: model, annotations: { [title]: 'vad.onnx' } },
      ]);
      const [manifest, file] = [digest.slice(7), digestOf(model).slice(7)];
      for (const [reference, sha256] of [
        [':6.0.0', undefined],
        [`@${digest}`, undefined],
        [':6.0.0', manifest],
        [':6.0.0', file],
      ] as const) {
        using it = stage();
        const record = await it.fetch({ uri: uri(reference), sha256 });
        assert.equal(record.digest, sha256 ?? manifest);
        assert.deepEqual(it.files(), { 'model.onnx': 'a model' });
      }
      using it = stage();
      await it.refuses({ uri: uri(':6.0.0'), sha256: '0'.repeat(64) }, 'ArtifactCorrupt', /has to be 0000/);
    });

    it('puts files where their titles say', async () => {
      await pusher.push('external', [
        {
          mediaType: 'application/vnd.oci.image.layer.v1.tar',
          content: model,
          annotations: { [title]: 'model.onnx' },
        },
        { mediaType: rawType, content: weights, annotations: { [title]: 'data/weights.bin' } },
      ]);
      using it = stage();
      await it.fetch({ uri: uri(':external') });
      assert.deepEqual(it.files(), { 'model.onnx': 'a model', 'data/weights.bin': weights.toString() });
    });

    it('unpacks folders, ModelPack layers and layers of images', async () => {
      const packed = await tarOf({ 'vad/model.onnx': model, 'vad/weights.bin': weights });
      const gzip = 'application/vnd.oci.image.layer.v1.tar+gzip';
      const layers = {
        folder: [
          {
            mediaType: gzip,
            content: packed,
            annotations: { [title]: 'vad', 'io.deis.oras.content.unpack': 'true' },
          },
        ],
        image: [{ mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip', content: packed }],
        pack: [
          {
            mediaType: 'application/vnd.cncf.model.doc.v1.raw',
            content: Buffer.from('about'),
            annotations: { 'org.cncf.model.filepath': 'README.md' },
          },
          {
            mediaType: 'application/vnd.cncf.model.weight.v1.tar+gzip',
            content: packed,
            annotations: { 'org.cncf.model.filepath': 'vad' },
          },
        ],
      };
      for (const [tag, content] of Object.entries(layers)) {
        await pusher.push(tag, content);
        using it = stage();
        await it.fetch({ uri: uri(`:${tag}`) });
        assert.deepEqual(Object.keys(it.files()).sort(), ['vad/model.onnx', 'vad/weights.bin'], tag);
      }
    });

    it('finds the manifest for this machine in an index', async () => {
      const own = await pusher.push('own', [{ mediaType: rawType, content: model }]);
      const other = await pusher.push('other', [{ mediaType: rawType, content: weights }]);
      const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
      const entry = (digest: string, of: string) => ({
        mediaType: manifestType,
        digest,
        size: 1,
        platform: { os: 'linux', architecture: of },
      });
      const manifests = [entry(other, 's390x'), entry(own, architecture)];
      const index = { schemaVersion: 2, mediaType: indexType, manifests };
      await pusher.manifest('index', indexType, JSON.stringify(index));
      using it = stage();
      await it.fetch({ uri: uri(':index') });
      assert.deepEqual(it.files(), { 'model.onnx': 'a model' });
    });

    it('refuses titles that lead out of the folder', async () => {
      for (const bad of ['../model.onnx', '/etc/model.onnx', 'a/../../b', '.artifact.json']) {
        await pusher.push('bad', [
          { mediaType: rawType, content: model, annotations: { [title]: bad } },
          { mediaType: rawType, content: weights, annotations: { [title]: 'ok' } },
        ]);
        using it = stage();
        await it.refuses({ uri: uri(':bad') }, 'ArtifactUnsafe', /a layer's title is/);
      }
    });

    it('says what is not there', async () => {
      using it = stage();
      await it.refuses(
        { uri: uri(':nothing') },
        'ArtifactNotFound',
        /manifests\/nothing answered with status 404/,
      );
      await it.refuses({ uri: uri(`@sha256:${'0'.repeat(64)}`) }, 'ArtifactNotFound', /status 404/);
    });

    it('starts again from the cache without the registry', async () => {
      await pusher.push('cached', [
        { mediaType: rawType, content: model, annotations: { [title]: 'model.onnx' } },
        { mediaType: rawType, content: weights, annotations: { [title]: 'weights.bin' } },
      ]);
      const cacheDir = temporaryFolder();
      try {
        const wanted = { uri: uri(':cached'), cacheDir, owner: 'uid' };
        using first = stage();
        const { digest } = await first.fetch(wanted);
        for (const pinned of [{}, { sha256: digest }]) {
          using again = stage();
          await again.fetch({ ...wanted, ...pinned, privateHosts: [] });
          assert.deepEqual(again.files(), first.files());
        }
      } finally {
        rmSync(cacheDir, { recursive: true });
      }
    });

    if (user === undefined) return;
    it('says when credentials are missing or wrong, and takes those of a Docker configuration', async () => {
      await pusher.push('private', [{ mediaType: rawType, content: model }]);
      using it = stage();
      const wrong = { authorization: basicOf({ username: 'who', password: 'knows' }) };
      await it.refuses({ uri: uri(':private'), credentials: wrong }, 'ArtifactUnauthorized', /status 401/);
      await it.refuses({ uri: uri(':private'), credentials: {} }, 'ArtifactUnauthorized', /status 401/);
      const auth = basicOf(user).replace('Basic ', '');
      const dockerConfig = JSON.stringify({ auths: { [new URL(running.url).host]: { auth } } });
      await it.fetch({ uri: uri(':private'), credentials: { dockerConfig } });
      assert.deepEqual(it.files(), { 'model.onnx': 'a model' });
    });
  });
}

async function tarOf(files: Readonly<Record<string, Buffer>>): Promise<Buffer> {
  const folder = temporaryFolder();
  try {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(folder, path, '..'), { recursive: true });
      writeFileSync(join(folder, path), content);
    }
    await create(
      { file: join(folder, 'packed.tgz'), cwd: folder, gzip: true, portable: true },
      Object.keys(files),
    );
    return readFileSync(join(folder, 'packed.tgz'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const reader: User = { username: 'reader', password: 'secret' };

async function startDouble(user?: User): Promise<Running> {
  const registry = await TestRegistry.start(user === undefined ? {} : { user });
  return { url: registry.server.url, stop: () => registry[Symbol.asyncDispose]() };
}

registryContract('the double', () => startDouble());
registryContract('the double, which asks for tokens', () => startDouble(reader), reader);

const debian = onPath('docker-registry');
if (debian !== undefined) {
  registryContract("Debian's docker-registry", () => startDebian(debian));
  // The password of `reader`, as htpasswd writes it.
  const users = 'reader:$2b$05$RZx.jRBpJwJRj/tg2DwNBO1Mm4bJ/vj6NARYxGPulTYoO38l8EmBq\n';
  registryContract(
    "Debian's docker-registry, which asks for a password",
    () => startDebian(debian, users),
    reader,
  );
}

const named = process.env['SLUICE_TEST_REGISTRY'];
if (named !== undefined) {
  const { origin, username, password } = new URL(named);
  const user = username === '' ? undefined : { username, password };
  registryContract(origin, async () => ({ url: origin, stop: async () => undefined }), user);
}

async function startDebian(program: string, users?: string): Promise<Running> {
  const folder = temporaryFolder();
  const port = await freePort();
  const settings = {
    version: 0.1,
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: { addr: `127.0.0.1:${port}` },
    ...(users === undefined ? {} : { auth: { htpasswd: { realm: 'tests', path: join(folder, 'users') } } }),
  };
  writeFileSync(join(folder, 'users'), users ?? '');
  writeFileSync(join(folder, 'config.yml'), JSON.stringify(settings));
  const child: ChildProcess = spawn(program, ['serve', join(folder, 'config.yml')], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  for (;;) {
    const answer = await fetch(`${url}/v2/`).catch(() => undefined);
    if (answer?.ok || answer?.status === 401) return { url, stop };
    if (child.exitCode !== null) throw new Error(`docker-registry ended with code ${child.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function onPath(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(':');
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

describe('oci, with a registry that asks for tokens', () => {
  const basic = basicOf(reader);

  async function privateModel(): Promise<TestRegistry> {
    const registry = await TestRegistry.start({ user: reader });
    await new Pusher(`${registry.server.url}/v2/vad`, basic).push('1', [
      { mediaType: rawType, content: model },
    ]);
    registry.server.requests.length = 0;
    return registry;
  }

  it('gets a token for pulling this repository and nothing else', async () => {
    await using registry = await privateModel();
    const { host, requests } = registry.server;
    using it = new Stage({ privateHosts: [`http://${host}`], credentials: { authorization: basic } });
    await it.fetch({ uri: `oci://${host}/vad:1` });
    assert.deepEqual(it.files(), { 'model.onnx': 'a model' });
    const asked = requests.filter(({ url }) => url.startsWith('/token'));
    assert.equal(asked.length, 1);
    assert.equal(new URL(asked[0]?.url ?? '', 'http://x').searchParams.get('scope'), 'repository:vad:pull');
    const leaked = requests.filter(
      ({ url, headers }) => !url.startsWith('/token') && headers['authorization'] === basic,
    );
    assert.deepEqual(leaked, [], 'the password goes to the token server only');
  });

  it('says when it gets none', async () => {
    await using registry = await privateModel();
    const { host } = registry.server;
    using it = new Stage({ privateHosts: [`http://${host}`] });
    await it.refuses(
      { uri: `oci://${host}/vad:1` },
      'ArtifactUnauthorized',
      /\/token answered with status 401/,
    );
  });

  it('does not follow a challenge to a private address, nor to clear text', async () => {
    for (const [realm, message] of [
      ['https://169.254.169.254/token', /link-local address/],
      ['https://[::ffff:169.254.169.254]/token', /not a public IPv6 address/],
      ['https://2130706433/token', /127\.0\.0\.1 must not be connected to: loopback/],
      ['http://tokens.example.com/', /http is not allowed here/],
      ['https://user:pass@tokens.example.com/', /must not hold credentials/],
      ['file:///etc/passwd', /file is not allowed here/],
    ] as const) {
      await using server = await TestServer.start((_, response) =>
        response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="x"` }).end(),
      );
      using it = new Stage({
        privateHosts: [`http://${server.host}`],
        credentials: { authorization: basic },
      });
      await it.refuses({ uri: `oci://${server.host}/vad:1` }, 'ArtifactRefused', message);
    }
  });

  it('does not tell its password to whom a redirect leads', async () => {
    await using other: TestServer = await TestServer.start((_, response) => {
      const realm = `Bearer realm="http://${other.host}/token",service="x"`;
      response.writeHead(401, { 'www-authenticate': realm }).end();
    });
    await using server = await TestServer.start((request, response) =>
      response.writeHead(307, { location: `http://${other.host}${request.url}` }).end(),
    );
    using it = new Stage({
      privateHosts: [`http://${server.host}`, `http://${other.host}`],
      credentials: { authorization: basic },
    });
    await it.refuses({ uri: `oci://${server.host}/vad:1` }, 'ArtifactUnauthorized', /status 401/);
    assert.deepEqual(
      other.requests.map(({ url, headers }) => [url, headers['authorization']]),
      [['/v2/vad/manifests/1', undefined]],
    );
  });

  it('refuses manifests that are not what they should be', async () => {
    const digest = `sha256:${'0'.repeat(64)}`;
    const layer = { mediaType: rawType, digest, size: 1 };
    const cases: readonly [
      manifest: unknown,
      reason: 'ArtifactCorrupt' | 'ArtifactUnsupported',
      message: RegExp,
    ][] = [
      ['no JSON', 'ArtifactCorrupt', /not a JSON object/],
      [{ mediaType: 'application/json' }, 'ArtifactUnsupported', /a manifest of type "application\/json"/],
      [{ mediaType: manifestType }, 'ArtifactCorrupt', /has no layers/],
      [{ mediaType: manifestType, layers: [] }, 'ArtifactUnsupported', /no layer with a model/],
      [{ mediaType: manifestType, layers: [{}] }, 'ArtifactCorrupt', /no SHA-256 digests/],
      [
        { mediaType: manifestType, layers: [{ ...layer, digest: 'sha256:../../x' }] },
        'ArtifactCorrupt',
        /no SHA-256 digests/,
      ],
      [
        { mediaType: manifestType, layers: Array(300).fill(layer) },
        'ArtifactUnsupported',
        /more than 256 layers/,
      ],
      [
        { mediaType: manifestType, layers: [{ ...layer, mediaType: 'application/x+encrypted' }] },
        'ArtifactUnsupported',
        /layers of type/,
      ],
      [{ mediaType: indexType, manifests: [] }, 'ArtifactUnsupported', /none for linux/],
      ['x'.repeat(5_000_000), 'ArtifactCorrupt', /larger than/],
    ];
    for (const [manifest, reason, message] of cases) {
      const text = typeof manifest === 'string' ? manifest : JSON.stringify(manifest);
      await using server = await TestServer.start((_, response) => response.end(text));
      using it = new Stage({ privateHosts: [`http://${server.host}`] });
      await it.refuses({ uri: `oci://${server.host}/vad:1` }, reason, message);
    }
  });
});
