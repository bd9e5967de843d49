/** `hf:` as the hub answers: a redirect to where the content lies. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Stage, sha256, TestServer } from './testing/stage.ts';

const content = Buffer.from('weights of a model');

describe('hf', () => {
  it('follows the redirect to where the content is, and keeps the token at home', async () => {
    await using storage = await TestServer.start((request, response) => {
      if (request.url === '/blobs/1?signature=secret') response.end(content);
      else response.writeHead(404).end();
    });
    await using hub = await TestServer.start((request, response) => {
      const right = '/team/vad/resolve/refs%2Fpr%2F1/onnx/model.onnx';
      if (request.headers.authorization !== 'Bearer t') response.writeHead(401).end();
      else if (request.url !== right) response.writeHead(404).end();
      else response.writeHead(302, { location: `${storage.url}/blobs/1?signature=secret` }).end();
    });
    using it = new Stage({
      endpoints: { hf: hub.url },
      privateHosts: [`http://${hub.host}`, `http://${storage.host}`],
      credentials: { authorization: 'Bearer t' },
    });
    const uri = 'hf://team/vad@refs%2Fpr%2F1/onnx/model.onnx';
    assert.equal((await it.fetch({ uri })).digest, sha256(content));
    assert.deepEqual(
      storage.requests.map(({ headers }) => headers['authorization']),
      [undefined],
    );
  });

  it('says when the repository is private, and when there is no such file, without a secret of the URL', async () => {
    await using hub = await TestServer.start((request, response) => {
      if (request.url?.startsWith('/team/gone/') === true)
        response.writeHead(302, { location: `${hub.url}/blob?signature=secret` }).end();
      else response.writeHead(request.url?.startsWith('/blob') === true ? 404 : 401).end();
    });
    using it = new Stage({ endpoints: { hf: hub.url }, privateHosts: [`http://${hub.host}`] });
    await it.refuses(
      { uri: 'hf://team/private/model.onnx' },
      'ArtifactUnauthorized',
      /resolve\/main\/model\.onnx answered with status 401/,
    );
    await it.refuses(
      { uri: 'hf://team/gone/model.onnx' },
      'ArtifactNotFound',
      /\/blob answered with status 404$/,
    );
  });
});
