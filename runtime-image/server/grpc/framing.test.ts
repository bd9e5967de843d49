import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { encodeStatusText, frame, MessageReader, parseTimeout } from './framing.ts';

const joined = (pieces: readonly Uint8Array[]): Buffer => Buffer.concat(pieces);

function read(stream: Buffer, cuts: readonly number[], maxBytes = 2 ** 24) {
  const reader = new MessageReader(maxBytes);
  const messages: Buffer[] = [];
  const edges = [0, ...cuts.map((cut) => cut % (stream.length + 1)).sort((a, b) => a - b), stream.length];
  edges.slice(1).forEach((end, index) => {
    reader.push(stream.subarray(edges[index], end));
    for (let next = reader.next(); next !== undefined; next = reader.next()) messages.push(next.bytes);
  });
  return { messages, held: reader.held };
}

describe('MessageReader', () => {
  it('finds the messages, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 5 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        (messages, cuts) => {
          const stream = joined(messages.flatMap((message) => frame([message])));
          const found = read(stream, cuts);
          assert.deepEqual(
            found.messages.map((message) => [...message]),
            messages.map((message) => [...message]),
          );
          assert.equal(found.held, 0);
        },
      ),
    );
  });

  it('knows of a message that has begun', () => {
    assert.deepEqual(read(Buffer.from([0, 0, 0]), []), { messages: [], held: 3 });
    assert.deepEqual(read(Buffer.from([0, 0, 0, 0, 2, 9]), []), { messages: [], held: 6 });
  });

  it('refuses a length that is too much before anything of it has come', () => {
    assert.throws(() => read(Buffer.from([0, 0, 0, 4, 1]), [], 1024), {
      message: 'the message has 1025 bytes; the most that this server takes is 1024',
      code: 8,
    });
  });

  it('refuses a flag that is none', () => {
    assert.throws(() => read(Buffer.from([7, 0, 0, 0, 0]), []), /the flag before a message is 7/);
  });
});

describe('frame', () => {
  it('puts the length before the pieces, and copies no large one', () => {
    const large = new Uint8Array(100_000).fill(5);
    const framed = frame([Uint8Array.of(1, 2), large, Uint8Array.of(3)]);
    assert.ok(framed.includes(large));
    const all = joined(framed);
    assert.equal(all.readUInt32BE(1), 100_003);
    assert.deepEqual([...all.subarray(5, 8), ...all.subarray(-2)], [1, 2, 5, 5, 3]);
  });

  it('frames a message without bytes', () => {
    assert.deepEqual([...joined(frame([]))], [0, 0, 0, 0, 0]);
  });
});

describe('parseTimeout', () => {
  for (const [header, ms] of [
    [undefined, undefined],
    ['100m', 100],
    ['2S', 2000],
    ['1M', 60_000],
    ['1H', 3_600_000],
    ['500u', 0.5],
    ['0n', 0],
  ] as const) {
    it(`reads ${header} as ${ms} ms`, () => assert.equal(parseTimeout(header), ms));
  }

  for (const header of ['', '5', 'm', '-1S', '123456789S', '1s']) {
    it(`refuses ${JSON.stringify(header)}`, () => assert.throws(() => parseTimeout(header), { code: 3 }));
  }
});

it('encodes what a header cannot carry', () => {
  assert.equal(encodeStatusText('plain, as it is.'), 'plain, as it is.');
  assert.equal(encodeStatusText('100 %\nä'), '100 %25%0A%C3%A4');
});
