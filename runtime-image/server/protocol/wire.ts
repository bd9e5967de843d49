/** Reads the protobuf wire format from bytes that nobody has checked. */
import { invalid } from './errors.ts';

export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

function malformed(what: string): Error {
  return invalid(`the message is not valid protobuf: ${what}`);
}

export class WireReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  /** Of the field whose tag was read last. */
  wireType = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#at >= this.#bytes.byteLength;
  }

  /** Reads the next tag; returns the field's number, or 0 at the end. */
  field(): number {
    if (this.done) return 0;
    const tag = this.uint32();
    this.wireType = tag & 7;
    const field = tag >>> 3;
    if (field === 0) throw malformed('field 0');
    return field;
  }

  /** @throws InferenceError unless the field has the wire type */
  expect(wireType: number, name: string): void {
    if (this.wireType !== wireType) throw malformed(`${name} has wire type ${this.wireType}`);
  }

  /** The low 32 bits of a varint. */
  uint32(): number {
    const bytes = this.#bytes;
    let at = this.#at;
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw malformed('it ends within a number');
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.#at = at;
        return value >>> 0;
      }
    }
    throw malformed('a number of more than ten bytes');
  }

  /** The 64 bits of a varint. */
  uint64(): bigint {
    const first = this.#bytes[this.#at];
    // Nearly all numbers on the wire are small.
    if (first !== undefined && first < 0x80) {
      this.#at += 1;
      return BigInt(first);
    }
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw malformed('it ends within a number');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw malformed('a number of more than ten bytes');
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.uint64());
  }

  /** An int64 as a number; what a number cannot hold exactly is no size of anything, and becomes NaN. */
  size(): number {
    const first = this.#bytes[this.#at];
    if (first !== undefined && first < 0x80) {
      this.#at += 1;
      return first;
    }
    const value = Number(this.int64());
    return Number.isSafeInteger(value) ? value : Number.NaN;
  }

  float(): number {
    return this.#view.getFloat32(this.#take(4), true);
  }

  double(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** A view of the bytes of a length-delimited field. */
  bytes(): Uint8Array {
    const length = this.uint32();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  text(name: string): string {
    this.expect(wireTypes.bytes, name);
    const { buffer, byteOffset, byteLength } = this.bytes();
    return Buffer.from(buffer, byteOffset, byteLength).toString('utf8');
  }

  /** Passes over a field that is not known. */
  skip(): void {
    switch (this.wireType) {
      case wireTypes.varint:
        this.uint32();
        return;
      case wireTypes.fixed64:
        this.#take(8);
        return;
      case wireTypes.bytes:
        this.#take(this.uint32());
        return;
      case wireTypes.fixed32:
        this.#take(4);
        return;
      default:
        throw malformed(`wire type ${this.wireType}`);
    }
  }

  #take(length: number): number {
    const start = this.#at;
    if (length > this.#bytes.byteLength - start) throw malformed('it ends within a field');
    this.#at = start + length;
    return start;
  }
}

/** Varints in packed bytes: each ends with a byte below 128. */
export function countVarints(bytes: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < bytes.byteLength; at++) {
    if ((bytes[at] as number) < 0x80) count += 1;
  }
  return count;
}
