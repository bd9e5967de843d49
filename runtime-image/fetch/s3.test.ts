/** `s3:` and `gs:` against a real S3 server, which checks signatures, and against what it does not do. */
import assert from 'node:assert/strict';
import { createVerify, generateKeyPairSync } from 'node:crypto';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { AwsClient } from 'aws4fetch';
import { temporaryFolder } from '../testing/process.ts';
import { s3Object } from './sources/s3.ts';
import { Stage, sha256, TestServer } from './testing/stage.ts';

/** The server has no types of its own. */
type S3Server = { run(): Promise<AddressInfo>; close(): Promise<void> };
const S3rver: new (options: object) => S3Server = createRequire(import.meta.url)('@20minutes/s3rver');

const keys = { accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' };
const content = Buffer.alloc(3_000_000, 'weights ');

describe('s3', () => {
  const directory = temporaryFolder();
  let server: S3Server;
  let host: string;
  let endpoint: string;

  before(async () => {
    server = new S3rver({
      address: '127.0.0.1',
      port: 0,
      silent: true,
      directory,
      configureBuckets: [{ name: 'models' }],
    });
    host = `127.0.0.1:${(await server.run()).port}`;
    endpoint = `http://${host}`;
    const client = new AwsClient({ ...keys, service: 's3', region: 'us-east-1' });
    for (const key of ['vad/6.0.0/model.onnx', 'odd/a+b(1)~é!%20.onnx']) {
      const path = key.split('/').map(encodeURIComponent).join('/');
      const answer = await client.fetch(`${endpoint}/models/${path}`, { method: 'PUT', body: content });
      assert.equal(answer.status, 200, await answer.text());
    }
  });
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const stage = () =>
    new Stage({ privateHosts: [`http://${host}`], endpoints: { s3: endpoint }, credentials: { keys } });
  const digest = sha256(content);

  it('fetches with a signature that the server checks', async () => {
    using it = stage();
    const { files } = await it.fetch({ uri: 's3://models/vad/6.0.0/model.onnx', sha256: digest });
    assert.deepEqual(files, [{ path: 'model.onnx', bytes: content.length, sha256: digest }]);
  });

  it('fetches keys with letters that URLs and signatures escape differently', async () => {
    using it = stage();
    assert.equal((await it.fetch({ uri: 's3://models/odd/a+b(1)~é!%20.onnx' })).digest, digest);
  });

  it('takes the endpoint of the Secret before the installation’s', async () => {
    using it = stage();
    const { digest: found } = await it.fetch({
      uri: 's3://models/vad/6.0.0/model.onnx',
      endpoints: { s3: 'https://nowhere.invalid' },
      credentials: { keys, endpoint },
    });
    assert.equal(found, digest);
  });

  it('says when the keys are wrong, and when there is nothing', async () => {
    using it = stage();
    const wrong = { keys: { ...keys, secretAccessKey: 'wrong' } };
    const uri = 's3://models/vad/6.0.0/model.onnx';
    await it.refuses({ uri, credentials: wrong }, 'ArtifactUnauthorized', /status 403/);
    await it.refuses(
      { uri: 's3://models/nothing' },
      'ArtifactNotFound',
      /models\/nothing answered with status 404/,
    );
    await it.refuses({ uri: 's3://no-such-bucket/x' }, 'ArtifactNotFound', /status 404/);
  });

  it('does not reach a private endpoint that the administrator has not named', async () => {
    using it = stage();
    const uri = 's3://models/vad/6.0.0/model.onnx';
    const secret = { keys, endpoint };
    await it.refuses(
      { uri, credentials: secret, privateHosts: [] },
      'ArtifactRefused',
      /http is not allowed here/,
    );
    await it.refuses(
      { uri, credentials: { keys, endpoint: `https://${host}` }, privateHosts: [] },
      'ArtifactRefused',
      /must not be connected to: loopback address/,
    );
    await it.refuses(
      { uri, credentials: { keys, endpoint: 'https://169.254.169.254' } },
      'ArtifactRefused',
      /169\.254\.169\.254 must not be connected to: link-local address/,
    );
    await it.refuses(
      { uri, credentials: { keys, endpoint: 'file:///etc' } },
      'ConfigurationInvalid',
      /endpoint/,
    );
    await it.refuses(
      { uri, credentials: { keys, region: 'x.evil.example/' } },
      'ConfigurationInvalid',
      /region/,
    );
  });

  it('gs: fetches with HMAC keys, which are signed alike', async () => {
    using it = stage();
    const uri = 'gs://models/vad/6.0.0/model.onnx';
    assert.equal((await it.fetch({ uri, endpoints: { gs: endpoint } })).digest, digest);
  });
});

describe('s3 of AWS', () => {
  const url = (bucket: string, region?: string) =>
    s3Object({
      bucket,
      key: 'a/b c',
      credentials: region === undefined ? {} : { region },
      endpoint: undefined,
      defaultRegion: 'us-east-1',
    }).url;
  it('names buckets as hosts, but for those that certificates do not cover', () => {
    assert.equal(url('models'), 'https://models.s3.us-east-1.amazonaws.com/a/b%20c');
    assert.equal(url('my.models', 'eu-west-1'), 'https://s3.eu-west-1.amazonaws.com/my.models/a/b%20c');
    assert.equal(url('models', 'cn-north-1'), 'https://models.s3.cn-north-1.amazonaws.com.cn/a/b%20c');
  });

  it('asks once more in the region that the refusal names', async () => {
    await using server = await TestServer.start((request, response) => {
      const right = /\/eu-west-1\/s3\//.test(request.headers.authorization ?? '');
      if (right) response.end(content);
      else response.writeHead(400, { 'x-amz-bucket-region': 'eu-west-1' }).end();
    });
    using it = new Stage({
      privateHosts: [`http://${server.host}`],
      endpoints: { s3: server.url },
      credentials: { keys },
    });
    assert.equal((await it.fetch({ uri: 's3://models/x' })).digest, sha256(content));
    assert.equal(server.requests.length, 2);
  });
});

describe('gs', () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const account = (tokenUri: string, overrides = {}) =>
    JSON.stringify({
      client_email: 'models@project.example',
      private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      private_key_id: 'k1',
      token_uri: tokenUri,
      ...overrides,
    });

  it('exchanges a service account’s key for a token, once, and fetches with it', async () => {
    await using server = await TestServer.start((request, response) => {
      if (request.url !== '/token') {
        response.writeHead(request.headers.authorization === 'Bearer good' ? 200 : 401).end(content);
        return;
      }
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        const assertion = new URLSearchParams(body).get('assertion') ?? '';
        const [head = '', claims = '', signature = ''] = assertion.split('.');
        const valid = createVerify('RSA-SHA256')
          .update(`${head}.${claims}`)
          .verify(publicKey, signature, 'base64url');
        const { iss, scope } = JSON.parse(Buffer.from(claims, 'base64url').toString());
        const asks = iss === 'models@project.example' && scope.endsWith('/devstorage.read_only');
        response.end(JSON.stringify({ access_token: valid && asks ? 'good' : 'bad' }));
      });
    });
    using it = new Stage({ privateHosts: [`http://${server.host}`], endpoints: { gs: server.url } });
    const uri = 'gs://models/x';
    const serviceAccount = account(`${server.url}/token`);
    assert.equal((await it.fetch({ uri, credentials: { serviceAccount } })).digest, sha256(content));
    assert.deepEqual(
      server.requests.map(({ url }) => url),
      ['/token', '/models/x'],
    );
  });

  it('asks for another token when one has run out', async () => {
    let given = 0;
    await using server = await TestServer.start((request, response) => {
      if (request.url === '/token') response.end(JSON.stringify({ access_token: `token-${++given}` }));
      else response.writeHead(request.headers.authorization === 'Bearer token-2' ? 200 : 401).end(content);
    });
    using it = new Stage({ privateHosts: [`http://${server.host}`], endpoints: { gs: server.url } });
    const serviceAccount = account(`${server.url}/token`);
    const { digest } = await it.fetch({ uri: 'gs://models/x', credentials: { serviceAccount } });
    assert.deepEqual([digest, given], [sha256(content), 2]);
  });

  it('does not send the key’s signature to a private address, nor along a redirect', async () => {
    await using server = await TestServer.start((_, response) =>
      response.writeHead(307, { location: '/elsewhere' }).end(),
    );
    using it = new Stage({ endpoints: { gs: 'https://storage.example.com' } });
    const uri = 'gs://models/x';
    const metadata = account('https://metadata.google.internal.example@169.254.169.254/token');
    await it.refuses(
      { uri, credentials: { serviceAccount: metadata } },
      'ArtifactRefused',
      /must not hold credentials/,
    );
    const linkLocal = account('https://169.254.169.254/token');
    await it.refuses(
      { uri, credentials: { serviceAccount: linkLocal } },
      'ArtifactRefused',
      /link-local address/,
    );
    const privateHosts = [`http://${server.host}`];
    const redirected = account(`${server.url}/token`);
    await it.refuses(
      { uri, privateHosts, credentials: { serviceAccount: redirected } },
      'ArtifactRefused',
      /redirects, which it must not/,
    );
    assert.equal(server.requests.length, 1);
  });

  it('says what is wrong with a key', async () => {
    using it = new Stage();
    const uri = 'gs://models/x';
    const invalid = (serviceAccount: string, message: RegExp) =>
      it.refuses({ uri, credentials: { serviceAccount } }, 'ConfigurationInvalid', message);
    await invalid('{', /is not JSON/);
    await invalid('{}', /has no client_email and private_key/);
    await invalid(account('https://x', { private_key: 'x' }), /private_key that cannot be read/);
  });
});
