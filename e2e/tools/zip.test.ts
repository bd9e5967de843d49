import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { crc32, deflateRawSync } from 'node:zlib';
import { extractEntry, zipEntries } from './zip.ts';

interface Member {
  readonly name: string;
  readonly content: Buffer;
  readonly compressed: boolean;
  readonly crc?: number;
}

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'zip-test-'));
});
after(async () => {
  await rm(folder, { recursive: true });
});

/** An archive as other tools write it, with a trailing comment and extra fields. */
function archive(members: readonly Member[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content, compressed, crc = crc32(content) } of members) {
    const body = compressed ? deflateRawSync(content) : content;
    const extra = Buffer.from([0x55, 0x54, 0x01, 0x00, 0x00]);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(compressed ? 8 : 0, 8);
    local.writeUInt16LE(name.length, 26);
    local.writeUInt16LE(extra.length, 28);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(compressed ? 8 : 0, 10);
    central.writeUInt32LE(crc, 16);
    central.writeUInt32LE(body.length, 20);
    central.writeUInt32LE(content.length, 24);
    central.writeUInt16LE(name.length, 28);
    central.writeUInt32LE(offset, 42);
    parts.push(local, Buffer.from(name), extra, body);
    directory.push(central, Buffer.from(name));
    offset += 30 + name.length + extra.length + body.length;
  }
  const comment = Buffer.from('made for a test');
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(Buffer.concat(directory).length, 12);
  end.writeUInt32LE(offset, 16);
  end.writeUInt16LE(comment.length, 20);
  return Buffer.concat([...parts, ...directory, end, comment]);
}

test('stored and deflated entries come out whole, with the mode asked for', async () => {
  const long = Buffer.from('sluice '.repeat(100_000));
  const file = join(folder, 'good.zip');
  await writeFile(
    file,
    archive([
      { name: 'a/stored', content: Buffer.from('short'), compressed: false },
      { name: 'a/deflated', content: long, compressed: true },
    ]),
  );
  const entries = await zipEntries(file);
  assert.deepEqual(
    entries.map(({ name, size }) => ({ name, size })),
    [
      { name: 'a/stored', size: 5 },
      { name: 'a/deflated', size: long.length },
    ],
  );
  for (const [index, content] of [Buffer.from('short'), long].entries()) {
    const target = join(folder, `out-${index}`);
    await extractEntry(file, entries[index]!, target, 0o755);
    assert.ok((await readFile(target)).equals(content));
    assert.equal((await stat(target)).mode & 0o700, 0o700);
  }
});

test('a wrong checksum is refused', async () => {
  const file = join(folder, 'damaged.zip');
  await writeFile(file, archive([{ name: 'x', content: Buffer.from('data'), compressed: true, crc: 1 }]));
  const [entry] = await zipEntries(file);
  await assert.rejects(extractEntry(file, entry!, join(folder, 'x'), 0o644), /x in .* is damaged/);
});

test('a file of another kind is refused', async () => {
  const file = join(folder, 'not.zip');
  await writeFile(file, 'plain text');
  await assert.rejects(zipEntries(file), /is not a ZIP archive/);
});
