/** Archives, good and hostile, on their way through the fetcher. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import type { FailureReason } from '#contract';
import { Failure } from '../termination.ts';
import { temporaryFolder } from '../testing/process.ts';
import { rawTar, rawZip, type TarEntry, type ZipEntry } from './testing/archives.ts';
import { Stage, sha256 } from './testing/stage.ts';

const root = temporaryFolder();
after(() => rmSync(root, { recursive: true, force: true }));

/** The file's URI, of a name that says what it is. */
function put(name: string, content: Buffer): string {
  writeFileSync(join(root, name), content);
  return `file:///${name}`;
}

const stage = () => new Stage({ schemes: ['file'], fileRoot: root, maxBytes: 2 ** 28 });

describe('archives', () => {
  const content = { 'vad/model.onnx': 'a model', 'vad/data/weights.bin': 'weights' };
  const tar = rawTar([
    { path: './vad/', type: 'Directory' },
    ...Object.entries(content).map(([path, text]) => ({ path: `./${path}`, content: text })),
  ]);
  const zip = rawZip([
    { path: 'vad/', mode: 0o040755 },
    ...Object.entries(content).map(([path, text]) => ({ path, content: text })),
  ]);
  const good: readonly [name: string, archive: Buffer][] = [
    ['a.tar', tar],
    ['a.tar.gz', gzipSync(tar)],
    ['a.tgz', gzipSync(tar)],
    ['a.tar.zst', zstdCompressSync(tar)],
    ['a.zip', zip],
  ];
  for (const [name, archive] of good) {
    it(`opens ${name}, whose digest is the archive's`, async () => {
      using it = stage();
      const record = await it.fetch({ uri: put(name, archive), sha256: sha256(archive) });
      assert.deepEqual(it.files(), content);
      assert.equal(record.digest, sha256(archive));
      const files = record.files.map(({ path, bytes, sha256: hash }) => [path, bytes, hash]);
      assert.deepEqual(
        files,
        Object.entries(content).map(([path, text]) => [path, text.length, sha256(text)]),
      );
    });
  }

  const refusedTars: readonly [what: string, entries: readonly TarEntry[], message: RegExp][] = [
    ['a path above', [{ path: '../evil', content: 'x' }], /"\.\.\/evil" leads out of the folder/],
    ['a path above, within', [{ path: 'a/../../evil', content: 'x' }], /leads out of the folder/],
    ['an absolute path', [{ path: '/etc/evil', content: 'x' }], /has an absolute path/],
    ['a drive', [{ path: 'C:/evil', content: 'x' }], /has an absolute path/],
    ['a backslash', [{ path: 'a\\..\\evil', content: 'x' }], /backslash|plain|leads out/],
    ['a line break', [{ path: 'a\nb', content: 'x' }], /control character/],
    [
      'a symbolic link',
      [{ path: 'a', type: 'SymbolicLink', linkpath: '/etc' }],
      /is a SymbolicLink; only files and folders/,
    ],
    [
      'a file through a link',
      [
        { path: 'a', type: 'SymbolicLink', linkpath: '/tmp' },
        { path: 'a/evil', content: 'x' },
      ],
      /is a SymbolicLink/,
    ],
    ['a hard link', [{ path: 'a', type: 'Link', linkpath: '/etc/passwd' }], /is a Link/],
    ['a device', [{ path: 'a', type: 'CharacterDevice' }], /is a CharacterDevice/],
    ['a disk', [{ path: 'a', type: 'BlockDevice' }], /is a BlockDevice/],
    ['a pipe', [{ path: 'a', type: 'FIFO' }], /is a FIFO/],
    ['a name twice', [{ path: 'a' }, { path: './a' }], /twice/],
    ['a folder that is a file', [{ path: 'a' }, { path: 'a/b' }], /is there already/],
    ['a file that is a folder', [{ path: 'a/b' }, { path: 'a' }], /is there already/],
    [
      'the record of what was fetched',
      [{ path: './.artifact.json', content: '{}' }],
      /a name of Sluice's own/,
    ],
    ['a name of what is on its way', [{ path: '.partial-1/a' }], /a name of Sluice's own/],
    ['a deep path', [{ path: `${'a/'.repeat(40)}b` }], /too long a path/],
    [
      'many entries',
      Array.from({ length: 10_001 }, (_, index) => ({ path: `f${index}`, type: 'Directory' as const })),
      /more than 10000 entries/,
    ],
  ];
  for (const [what, entries, message] of refusedTars) {
    it(`refuses a tar with ${what}`, async () => {
      using it = stage();
      await it.refuses({ uri: put('bad.tar', rawTar(entries)) }, 'ArtifactUnsafe', message);
    });
  }

  const refusedZips: readonly [
    what: string,
    entries: readonly ZipEntry[],
    message: RegExp,
    reason?: FailureReason,
  ][] = [
    ['a path above', [{ path: '../evil' }], /bad name|leads out/],
    ['an absolute path', [{ path: '/etc/evil' }], /bad name|absolute/],
    ['a backslash', [{ path: 'a\\..\\..\\evil' }], /bad name|backslash/],
    ['a symbolic link', [{ path: 'a', mode: 0o120777, content: '/etc/passwd' }], /a link or a device/],
    ['a device', [{ path: 'a', mode: 0o020644 }], /a link or a device/],
    ['a name twice', [{ path: 'a' }, { path: 'a' }], /twice/],
    [
      'many entries',
      Array.from({ length: 10_001 }, (_, index) => ({ path: `f${index}` })),
      /more than 10000 entries/,
    ],
    ['an encrypted entry', [{ path: 'a', flags: 1 }], /is encrypted/, 'ArtifactUnsupported'],
    ['the record of what was fetched', [{ path: '.artifact.json' }], /a name of Sluice's own/],
    [
      'a checksum that is not its content’s',
      [{ path: 'a', content: 'x', crc: 7 }],
      /the checksum of "a" is wrong/,
      'ArtifactCorrupt',
    ],
    [
      'a size that is not true',
      [{ path: 'a', content: 'x'.repeat(1000), size: 10 }],
      /cannot be read/,
      'ArtifactCorrupt',
    ],
  ];
  for (const [what, entries, message, reason = 'ArtifactUnsafe'] of refusedZips) {
    it(`refuses a zip with ${what}`, async () => {
      using it = stage();
      await it.refuses({ uri: put('bad.zip', rawZip(entries)) }, reason, message);
    });
  }

  const keyword = (text: string) => `${text.length + 4} ${text}\n`;
  const sparse: readonly [what: string, entry: TarEntry, message: RegExp][] = [
    [
      'files with holes, as PAX has them',
      { path: 'x', type: 'ExtendedHeader', content: keyword('GNU.sparse.major=1') },
      /files with holes are not supported/,
    ],
    [
      'files with holes, as GNU tar has them',
      { path: 'x', type: 'SparseFile' },
      /entry "x" is of type SparseFile, which is not supported/,
    ],
    [
      'a name longer than the parser holds',
      { path: 'x', type: 'ExtendedHeader', content: keyword(`path=${'x'.repeat(70_000)}`) },
      /is of type ExtendedHeader, which is not supported/,
    ],
  ];
  for (const [what, entry, message] of sparse) {
    it(`refuses ${what}, and does not leave them out`, async () => {
      using it = stage();
      const archive = rawTar([entry, { path: 'GNUSparseFile.0/model.onnx', content: 'condensed' }]);
      await it.refuses({ uri: put('sparse.tar', archive) }, 'ArtifactUnsupported', message);
    });
  }

  it('takes an archive with a label', async () => {
    using it = stage();
    const labelled = rawTar([
      { path: 'models', type: 'TapeVolumeHeader' },
      { path: 'model.onnx', content: 'x' },
    ]);
    await it.fetch({ uri: put('labelled.tar', labelled) });
    assert.deepEqual(it.files(), { 'model.onnx': 'x' });
  });

  it('refuses bombs before they fill the volume', async () => {
    const zeros = Buffer.alloc(66 * 2 ** 20);
    using it = stage();
    const bomb = rawTar([{ path: 'zeros', content: zeros }]);
    const message = /expands to more than 200 times its size/;
    await it.refuses({ uri: put('bomb.tgz', gzipSync(bomb)) }, 'ArtifactUnsafe', message);
    await it.refuses({ uri: put('bomb.tar.zst', zstdCompressSync(bomb)) }, 'ArtifactUnsafe', message);
    await it.refuses(
      { uri: put('bomb.zip', rawZip([{ path: 'zeros', content: zeros }])) },
      'ArtifactUnsafe',
      message,
    );
  });

  it('counts what archives hold towards the largest artifact', async () => {
    using it = stage();
    const archive = gzipSync(rawTar([{ path: 'model.onnx', content: Buffer.alloc(2_000_000) }]));
    await it.refuses(
      { uri: put('large.tgz', archive), maxBytes: 1_000_000 },
      'ArtifactTooLarge',
      /larger than 1000000/,
    );
  });

  it('says that an archive is damaged', async () => {
    using it = stage();
    for (const [name, damaged] of [
      ['cut.tar', tar.subarray(0, 700)],
      ['cut.tar.gz', gzipSync(tar).subarray(0, 60)],
      ['text.tar', Buffer.from('no archive '.repeat(100))],
      ['text.zip', Buffer.from('no archive '.repeat(100))],
      ['cut.zip', zip.subarray(0, -30)],
    ] as const) {
      await it.refuses({ uri: put(name, damaged) }, 'ArtifactCorrupt', /the archive cannot be read/);
    }
  });

  it('says so as well when it breaks in the middle of an entry', async () => {
    using it = stage();
    const large = rawTar([
      { path: 'first.bin', content: 'first' },
      { path: 'model.onnx', content: randomBytes(1_000_000) },
    ]);
    const packed = gzipSync(large);
    const flipped = Buffer.from(packed);
    flipped.fill(0xff, packed.length >> 1, (packed.length >> 1) + 64);
    for (const [name, damaged] of [
      ['half.tar', large.subarray(0, 500_001)],
      ['blocks.tar', large.subarray(0, 1000 * 512)],
      ['half.tar.gz', packed.subarray(0, 500_000)],
      ['half.tar.zst', zstdCompressSync(large).subarray(0, 500_000)],
      ['flipped.tar.gz', flipped],
    ] as const) {
      await it.refuses({ uri: put(name, damaged) }, 'ArtifactCorrupt', /the archive cannot be read/);
    }
  });

  it('writes nothing outside, whatever the bytes are', async () => {
    const path = fc
      .array(fc.constantFrom('..', '.', '', 'a', 'b', '/', '\\', 'C:', '\0', '\u202e', '~'), { maxLength: 6 })
      .map((parts) => parts.join('/').slice(0, 99));
    const type = fc.constantFrom('File', 'Directory', 'Link', 'SymbolicLink', 'FIFO' as const);
    const entry = fc.record({
      path,
      type: type as fc.Arbitrary<NonNullable<TarEntry['type']>>,
      linkpath: path,
    });
    const before = readdirSync(root).length;
    const property = fc.asyncProperty(
      fc.array(entry, { minLength: 1, maxLength: 4 }),
      fc.nat({ max: 3000 }),
      fc.nat({ max: 255 }),
      async (entries, at, byte) => {
        const damaged = rawTar(entries);
        damaged[at % damaged.length] = byte;
        using it = stage();
        await it.fetch({ uri: put('fuzz.tar', damaged) }).catch((thrown) => {
          assert.ok(thrown instanceof Failure, String(thrown));
          assert.notEqual(thrown.reason, 'InternalError');
        });
        for (const name of Object.keys(it.files())) assert.ok(!name.split('/').includes('..'), name);
        assert.equal(existsSync(join(it.folder, '..', 'a')), false);
      },
    );
    await fc.assert(property, { numRuns: 150 });
    assert.equal(readdirSync(root).length, before + (existsSync(join(root, 'fuzz.tar')) ? 1 : 0));
  });
});
