/** Every way that a tenant has to name a host, with every spelling of addresses that are not the tenant's to reach. */
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { FetchConfig } from './config.ts';
import { Stage } from './testing/stage.ts';

const octet = fc.nat({ max: 255 });
/** 32-bit numbers of addresses that are not public. */
const forbidden = fc
  .oneof(
    fc.tuple(fc.constant(127), octet, octet, octet),
    fc.tuple(fc.constant(10), octet, octet, octet),
    fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), octet, octet),
    fc.tuple(fc.constant(192), fc.constant(168), octet, octet),
    fc.constant([169, 254, 169, 254] as const),
    fc.constant([168, 63, 129, 16] as const),
    fc.constant([0, 0, 0, 0] as const),
  )
  .map(([a, b, c, d]) => a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d);

const parts = (address: number) => [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff);
const pair = (address: number, shift: number) => ((address >>> shift) & 0xffff).toString(16);
const mapped = (address: number) => `${pair(address, 16)}:${pair(address, 0)}`;
const spellings: readonly ((address: number) => string)[] = [
  (address) => parts(address).join('.'),
  (address) => String(address),
  (address) => `0x${address.toString(16)}`,
  (address) => `0${address.toString(8)}`,
  (address) =>
    parts(address)
      .map((part) => `0${part.toString(8)}`)
      .join('.'),
  (address) =>
    parts(address)
      .map((part) => `0x${part.toString(16)}`)
      .join('.'),
  (address) => `${address >>> 24}.${address & 0xffffff}`,
  (address) => `${parts(address).join('.')}.`,
  (address) => `[::ffff:${mapped(address)}]`,
  (address) => `[::ffff:${parts(address).join('.')}]`,
  (address) => `[64:ff9b::${mapped(address)}]`,
  (address) => `[2002:${mapped(address)}::]`,
];

const ways: Readonly<Record<string, (host: string) => Partial<FetchConfig>>> = {
  'an https URI': (host) => ({ uri: `https://${host}/model.onnx` }),
  'a registry': (host) => ({ uri: `oci://${host}/vad:1` }),
  'the endpoint of a Secret for s3': (host) => ({
    uri: 's3://models/vad.onnx',
    credentials: { endpoint: `https://${host}` },
  }),
  'the endpoint of a Secret for gs': (host) => ({
    uri: 'gs://models/vad.onnx',
    credentials: { endpoint: `https://${host}`, keys: { accessKeyId: 'a', secretAccessKey: 's' } },
  }),
  'the endpoint of a Secret for hf': (host) => ({
    uri: 'hf://team/vad/model.onnx',
    credentials: { endpoint: `https://${host}` },
  }),
};

describe('addresses that are not public', () => {
  for (const [way, config] of Object.entries(ways)) {
    it(`are refused in every spelling by ${way}`, async () => {
      const property = fc.asyncProperty(forbidden, fc.constantFrom(...spellings), async (address, spell) => {
        using stage = new Stage();
        const message = /must not be connected to: .* address/;
        await stage.refuses(config(spell(address)), 'ArtifactRefused', message);
      });
      await fc.assert(property, { numRuns: 60 });
    });
  }
});
