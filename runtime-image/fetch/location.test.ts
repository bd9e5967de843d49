import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Failure } from '../termination.ts';
import { escapePath, isPlainPath, type Location, parseLocation } from './location.ts';

const all = ['http', 's3', 'gs', 'oci', 'hf', 'pvc', 'file'];
const parsed = (uri: string): Location => parseLocation(uri, all);
const hex = 'a'.repeat(64);

describe('parseLocation', () => {
  const cases: readonly [uri: string, location: Location][] = [
    ['https://Host/a%20b?c=d', { scheme: 'https', url: 'https://host/a%20b?c=d', path: '/a%20b' }],
    ['s3://models/vad/6 é.onnx'.replace(' ', '+'), { scheme: 's3', bucket: 'models', path: 'vad/6+é.onnx' }],
    ['s3://my.models/%2e%2e/x', { scheme: 's3', bucket: 'my.models', path: '%2e%2e/x' }],
    ['gs://my_models/x', { scheme: 'gs', bucket: 'my_models', path: 'x' }],
    [
      'oci://Registry.example:5000/team/vad:6.0.0',
      { scheme: 'oci', registry: 'registry.example:5000', repository: 'team/vad', reference: '6.0.0' },
    ],
    [
      `oci://registry.example/vad@sha256:${hex}`,
      { scheme: 'oci', registry: 'registry.example', repository: 'vad', reference: `sha256:${hex}` },
    ],
    [
      'oci://registry.example/vad',
      { scheme: 'oci', registry: 'registry.example', repository: 'vad', reference: 'latest' },
    ],
    [
      'hf://org/name/onnx/model.onnx',
      { scheme: 'hf', repository: 'org/name', revision: 'main', path: 'onnx/model.onnx' },
    ],
    [
      'hf://org/name@refs%2Fpr%2F1/model.onnx',
      { scheme: 'hf', repository: 'org/name', revision: 'refs/pr/1', path: 'model.onnx' },
    ],
    ['pvc://claim/vad/6.onnx', { scheme: 'pvc', claim: 'claim', path: 'vad/6.onnx' }],
    ['file:///a/%62.onnx', { scheme: 'file', path: 'a/b.onnx' }],
  ];
  for (const [uri, location] of cases) it(`reads ${uri}`, () => assert.deepEqual(parsed(uri), location));

  const refused: readonly [uri: string, message: RegExp][] = [
    ['s3://models', /has to look like s3:\/\/bucket\/key/],
    ['s3://models/', /has to look like/],
    ['s3:///x', /has to look like/],
    ['s3://models/../other/x', /has to look like/],
    ['s3://models/a//x', /has to look like/],
    ['s3://a..b/x', /has to look like/],
    ['s3://169.254.169.254:80/x', /has to look like/],
    ['s3://key:secret@models/x', /must not hold credentials/],
    ['gs://models/./x', /has to look like gs/],
    ['oci://registry.example', /has to look like oci/],
    ['oci://registry.example/Vad', /has to look like oci/],
    ['oci://registry.example/a/../b', /has to look like oci/],
    ['oci://registry.example/vad@sha256:abc', /has to look like oci/],
    ['oci://user@registry.example/vad', /must not hold credentials/],
    ['oci://registry.example#x/vad', /has to look like oci/],
    ['oci://registry.example?x/vad', /has to look like oci/],
    ['hf://name/model.onnx', /has to look like hf/],
    ['hf://org/name@../model.onnx', /has to look like hf/],
    ['hf://org/name@%2e%2e%2f%2e%2e/model.onnx', /has to look like hf/],
    ['hf://org/name/../../x', /has to look like hf/],
    ['pvc://../x', /has to look like pvc/],
    ['pvc://claim/../x', /has to look like pvc/],
    ['pvc:///x', /has to look like pvc/],
    ['pvc://Claim/x', /has to look like pvc/],
    ['file:///../x', /does not name a file/],
    ['file:///%2e%2e/x', /does not name a file/],
    ['file:///%zz', /has to look like file/],
    ['https://host/a b', /has to look like https/],
    ['https://host/a\\b', /has to look like https/],
    ['https://user:pass@host/x', /must not hold credentials/],
    ['https://user@host', /must not hold credentials/],
    [`https://host/${'x'.repeat(2048)}`, /has to look like https/],
  ];
  for (const [uri, message] of refused) {
    it(`refuses ${uri.slice(0, 60)}`, () => {
      assert.throws(
        () => parsed(uri),
        (thrown) => {
          assert.ok(thrown instanceof Failure);
          assert.equal(thrown.reason, 'ArtifactRefused');
          assert.match(thrown.message, message);
          return true;
        },
      );
    });
  }

  it('refuses what the installation does not allow, and what nobody knows', () => {
    assert.throws(
      () => parseLocation('s3://models/x', []),
      /s3 artifacts are not allowed here; allowed are https$/,
    );
    assert.throws(() => parseLocation('ftp://host/x', ['ftp']), { reason: 'ArtifactUnsupported' });
  });

  it('takes any text, and what it gives never leads out of its place', () => {
    const piece = fc.oneof(
      fc.constantFrom('s3', 'gs', 'oci', 'hf', 'pvc', 'file', 'https', 'http'),
      fc.constantFrom('://', ':', '/', '//', '..', '.', '@', '%2e', '%2F', '#', '?', '\\', ' ', '\n', '\0'),
      fc.constantFrom('host', 'bucket', '127.0.0.1', '[::1]', 'a.svc', 'sha256:', hex),
      fc.string({ unit: 'binary', maxLength: 5 }),
    );
    const text = fc.tuple(fc.constantFrom(...all, 'https'), fc.array(piece, { maxLength: 12 }));
    fc.assert(
      fc.property(text, ([scheme, pieces]) => {
        const uri = `${scheme}://${pieces.join('')}`;
        let location: Location;
        try {
          location = parsed(uri);
        } catch (thrown) {
          assert.ok(thrown instanceof Failure, `${uri}: ${thrown}`);
          return;
        }
        if (location.scheme === 'https' || location.scheme === 'http') {
          const { username, password } = new URL(location.url);
          assert.equal(username + password, '');
          return;
        }
        const made = new URL(
          `https://store/fixed/${escapePath('path' in location ? location.path : location.repository)}`,
        );
        assert.ok(made.pathname.startsWith('/fixed/'), uri);
        assert.equal(made.search + made.hash, '');
        if (location.scheme === 'oci')
          assert.equal(new URL(`https://${location.registry}`).host, location.registry);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('isPlainPath', () => {
  it('is false for everything that a URL, a server or a file system would normalise', () => {
    for (const path of ['', '/', '/a', 'a/', 'a//b', '.', '..', 'a/./b', 'a/../b', 'a\0b'])
      assert.equal(isPlainPath(path), false, path);
    for (const path of ['a', 'a/b', '...', '.a', 'a..b', '%2e%2e'])
      assert.equal(isPlainPath(path), true, path);
  });
});
