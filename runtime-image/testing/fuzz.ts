/**
 * Feeds the request decoders with mutations of the corpus: `node runtime-image/testing/fuzz.ts [COUNT] [SEED]`, by
 * default a million. Every input has to end in a request or in an InferenceError that blames the client, quickly, and
 * without leaving memory behind. Prints the input, in hex, of the first that does not.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MessageReader } from '../server/grpc/framing.ts';
import { elements } from '../server/protocol/datatypes.ts';
import { InferenceError, invalid } from '../server/protocol/errors.ts';
import { decodeInferRequest } from '../server/protocol/grpc-codec.ts';
import { readInferRequest } from '../server/protocol/grpc-wire.ts';
import { decodeJsonRequest } from '../server/protocol/json-request.ts';
import type { InferRequest } from '../server/protocol/tensor.ts';

/** A decoder that takes longer over an input of this size could be made to take for ever. */
const maxMsPerInput = 1000;

export interface FuzzReport {
  readonly inputs: number;
  /** Inputs that were still requests. */
  readonly accepted: number;
  readonly slowestMs: number;
}

interface Target {
  readonly corpus: readonly Buffer[];
  readonly words: readonly Buffer[];
  readonly decode: (bytes: Buffer, random: () => number) => InferRequest;
}

/** @throws Error naming the input that was handled wrongly */
export function fuzz(count: number, seed: number): FuzzReport {
  const random = generator(seed);
  const targets = [restTarget(), grpcTarget(), framedTarget()];
  let accepted = 0;
  let slowestMs = 0;
  for (let index = 0; index < count; index++) {
    const target = targets[index % targets.length] as Target;
    const bytes = mutate(target, random);
    const began = performance.now();
    try {
      check(target.decode(bytes, random));
      accepted += 1;
    } catch (thrown) {
      const blamed =
        thrown instanceof InferenceError &&
        (thrown.fault === 'InvalidArgument' || thrown.fault === 'TooLarge');
      if (!blamed)
        throw new Error(`input ${index} of seed ${seed}: ${bytes.toString('hex')}`, { cause: thrown });
    }
    const ms = performance.now() - began;
    slowestMs = Math.max(slowestMs, ms);
    if (ms > maxMsPerInput)
      throw new Error(`input ${index} of seed ${seed} took ${ms} ms: ${bytes.toString('hex')}`);
  }
  return { inputs: count, accepted, slowestMs };
}

/** What the engine relies on: as many bytes as the shape and the datatype say. */
function check(request: InferRequest): void {
  for (const tensor of request.inputs) {
    const count = tensor.shape.reduce((product, size) => product * size, 1);
    const found =
      tensor.datatype === 'BYTES'
        ? tensor.data.length
        : tensor.data.byteLength / elements[tensor.datatype].size;
    if (found !== count)
      throw new Error(`${tensor.datatype} of shape [${tensor.shape.join(',')}] has ${found} elements`);
  }
}

function corpus(name: string): readonly Buffer[] {
  const folder = new URL(`./corpus/${name}/`, import.meta.url);
  return readdirSync(folder)
    .sort()
    .map((file) => readFileSync(new URL(file, folder)));
}

const texts = (...words: string[]) => words.map((word) => Buffer.from(word));

function restTarget(): Target {
  return {
    corpus: corpus('rest'),
    words: texts(
      'null',
      '-1',
      '1e999',
      '[]',
      '{}',
      '[[',
      '"',
      '"data":',
      '"binary_data_size":9',
      '4294967296',
      '"BYTES"',
      '"__proto__":',
      '\\ud800',
      '0.1',
    ),
    decode: (bytes, random) => {
      const brace = bytes.lastIndexOf('}') + 1;
      const lengths = [undefined, brace, bytes.byteLength, Math.floor(random() * (bytes.byteLength + 3))];
      return decodeJsonRequest(bytes, lengths[Math.floor(random() * lengths.length)]);
    },
  };
}

function grpcTarget(): Target {
  return {
    corpus: corpus('grpc'),
    words: [
      Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]),
      Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]),
      Buffer.from([0x2a, 0]),
      Buffer.from([0x3a, 0]),
      ...texts('BYTES', 'INT64'),
    ],
    decode: (bytes) => decodeInferRequest(readInferRequest(bytes)),
  };
}

/** The same requests as they come over HTTP/2: framed, and in chunks of any size. */
function framedTarget(): Target {
  const { corpus: entries, words } = grpcTarget();
  const framed = entries.map((bytes) => {
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(bytes.byteLength, 1);
    return Buffer.concat([prefix, bytes]);
  });
  return {
    corpus: framed,
    words: [...words, Buffer.from([1, 0, 0, 0, 1]), Buffer.from([0, 0xff, 0xff, 0xff, 0xff])],
    decode: (bytes, random) => {
      const reader = new MessageReader(2 ** 20);
      for (let at = 0; at < bytes.byteLength; ) {
        const end = at + 1 + Math.floor(random() * 64);
        reader.push(bytes.subarray(at, end));
        at = end;
        const message = reader.next();
        if (message !== undefined) return decodeInferRequest(readInferRequest(message.bytes));
      }
      throw invalid('the request ends before its message does');
    },
  };
}

function mutate({ corpus: entries, words }: Target, random: () => number): Buffer {
  const below = (limit: number) => Math.floor(random() * limit);
  const pick = () => entries[below(entries.length)] as Buffer;
  let bytes: Buffer = Buffer.from(pick());
  for (let edits = 1 + below(4); edits > 0; edits--) {
    const at = below(bytes.byteLength + 1);
    const end = Math.min(bytes.byteLength, at + below(24));
    const [head, part, tail] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
    switch (below(7)) {
      case 0:
        if (at < bytes.byteLength) bytes[at] = below(256);
        break;
      case 1:
        if (at < bytes.byteLength) bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
        break;
      case 2:
        bytes = Buffer.concat([head, tail]);
        break;
      case 3:
        bytes = Buffer.concat([head, part, part, tail]);
        break;
      case 4:
        bytes = Buffer.concat([head, words[below(words.length)] as Buffer, tail]);
        break;
      case 5:
        bytes = Buffer.concat([head, pick().subarray(at)]);
        break;
      default:
        bytes = Buffer.from(head);
    }
  }
  return bytes;
}

/** Numbers in [0, 1) that depend on the seed alone. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Bytes that are still referenced, on the heap and off it. */
function retained(): number {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

if (import.meta.main) {
  const count = Number(process.argv[2] ?? 1_000_000);
  const seed = Number(process.argv[3] ?? Date.now() % 2 ** 31);
  fuzz(Math.min(count, 50_000), seed);
  const before = retained();
  const began = performance.now();
  const report = fuzz(count, seed + 1);
  const seconds = (performance.now() - began) / 1000;
  const grownMiB = (retained() - before) / 2 ** 20;
  process.stdout.write(`${JSON.stringify({ seed: seed + 1, ...report, seconds, grownMiB })}\n`);
  // Ten bytes an input would show as ten MiB in a million.
  if (grownMiB > 10) throw new Error(`memory has grown by ${grownMiB} MiB`);
}
