/** Archives as nobody should make them: entries are written as they are told, byte by byte. */
import { crc32, deflateRawSync } from 'node:zlib';
import { Header } from 'tar';

export interface TarEntry {
  readonly path: string;
  readonly content?: string | Buffer;
  /**
   * Of the ustar format: `0` file, `1` hard link, `2` symbolic link, `3` and `4` devices, `5` folder, `6` pipe; of PAX `x`, whose
   * content is about the entry that follows; of GNU `S`, a file with holes, and `V`, the archive's label.
   */
  readonly type?:
    | 'File'
    | 'Directory'
    | 'Link'
    | 'SymbolicLink'
    | 'CharacterDevice'
    | 'BlockDevice'
    | 'FIFO'
    | 'ExtendedHeader'
    | 'SparseFile'
    | 'TapeVolumeHeader';
  readonly linkpath?: string;
  /** Instead of the content's own size. */
  readonly size?: number;
}

export function rawTar(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.map(({ path, content = '', type = 'File', linkpath, size }) => {
    const body = Buffer.from(content);
    const header = Buffer.alloc(512);
    const fields = { path, type, mode: 0o644, uid: 0, gid: 0, mtime: new Date(0) };
    new Header({
      ...fields,
      size: size ?? body.length,
      ...(linkpath === undefined ? {} : { linkpath }),
    }).encode(header, 0);
    return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

export interface ZipEntry {
  readonly path: string;
  readonly content?: string | Buffer;
  /** Unix mode with its type. */
  readonly mode?: number;
  readonly flags?: number;
  /** What the headers say of the size, instead of the truth. */
  readonly size?: number;
  /** What the headers say of the checksum, instead of the truth. */
  readonly crc?: number;
}

const utf8Names = 0x800;

export function rawZip(entries: readonly ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const { path, content = '', mode = 0o100644, flags = 0, size, crc } of entries) {
    const body = Buffer.from(content);
    const packed = deflateRawSync(body);
    const name = Buffer.from(path);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(flags | utf8Names, 2);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(crc ?? crc32(body), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(size ?? body.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, name, packed]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE((mode << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    // Made on a Unix.
    central.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x03', 'latin1'), common, rest, name]));
    parts.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 0, 'latin1');
  end.writeUInt16LE(entries.length % 65_536, 8);
  end.writeUInt16LE(entries.length % 65_536, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, directory, end]);
}
