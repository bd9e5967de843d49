/** Every datatype through the whole server: over both protocols, into ONNX Runtime and back. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Client, credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { env, modelFile } from '#contract';
import { identityModel, type OnnxType } from '../testing/onnx.ts';
import { ImageProcess, temporaryFolder } from '../testing/process.ts';
import { loadProtocol } from './grpc/service.ts';
import type { FixedDatatype } from './protocol/datatypes.ts';
import { fromValues } from './protocol/elements.ts';
import { encodeRaw } from './protocol/raw.ts';
import type { Tensor } from './protocol/tensor.ts';

/** Two elements each, at the ends of their range. */
const samples: Readonly<Record<FixedDatatype, readonly [unknown, unknown]>> = {
  BOOL: [true, false],
  UINT8: [0, 255],
  UINT16: [0, 65_535],
  UINT32: [0, 4_294_967_295],
  UINT64: [0n, 18_446_744_073_709_551_615n],
  INT8: [-128, 127],
  INT16: [-32_768, 32_767],
  INT32: [-2_147_483_648, 2_147_483_647],
  INT64: [-9_223_372_036_854_775_808n, 9_223_372_036_854_775_807n],
  FP16: [-65_504, 0.5],
  FP32: [-3.4028234663852886e38, 1.5],
  FP64: [-1.7976931348623157e308, 5e-324],
};
const words = ['', 'Grüße, 世界'];

describe('datatypes', { timeout: 240_000 }, () => {
  let server: ImageProcess;
  let http: string;
  let client: Client;

  before(async () => {
    const folder = temporaryFolder();
    const types = [...Object.keys(samples), 'BYTES'] as OnnxType[];
    writeFileSync(
      join(folder, modelFile),
      identityModel(types.map((type) => ({ name: type, type, shape: ['n'] }))),
    );
    const variables = {
      [env.model]: 'm',
      [env.version]: '1',
      [env.bindAddress]: '127.0.0.1',
      [env.httpPort]: '0',
      [env.grpcPort]: '0',
      [env.metricsPort]: '0',
    };
    server = new ImageProcess('serve', { ...variables, [env.modelDir]: folder }, folder);
    await server.logged('serving');
    const line = await server.logged('listening');
    http = `http://${line['http']}/v2/models/m/infer`;
    const { inference } = loadPackageDefinition(loadProtocol()) as unknown as {
      inference: { GRPCInferenceService: typeof Client };
    };
    client = new inference.GRPCInferenceService(String(line['grpc']), credentials.createInsecure());
  });
  after(async () => {
    client?.close();
    await server?.[Symbol.asyncDispose]();
  });

  const tensors = (): Tensor[] => [
    ...Object.entries(samples).map(([name, values]) => fromValues(name, name as FixedDatatype, [2], values)),
    { name: 'BYTES', datatype: 'BYTES', shape: [2], data: words.map((word) => Buffer.from(word)) },
  ];

  it('pass over REST as JSON, to the last digit', async () => {
    const data = (values: readonly unknown[]) =>
      `[${values.map((value) => (typeof value === 'string' ? JSON.stringify(value) : String(value))).join(',')}]`;
    const all: [string, readonly unknown[]][] = [...Object.entries(samples), ['BYTES', words]];
    const inputs = all.map(
      ([name, values]) => `{"name":"${name}","datatype":"${name}","shape":[2],"data":${data(values)}}`,
    );
    const response = await fetch(http, { method: 'POST', body: `{"inputs":[${inputs.join(',')}]}` });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    for (const [name, values] of all) {
      const found = new RegExp(
        `"name":"out_${name}","datatype":"${name}","shape":\\[2\\],"data":(\\[[^\\]]*\\])`,
      ).exec(text)?.[1];
      const expected = name === 'FP64' || name === 'FP32' ? JSON.stringify(values) : data(values);
      assert.equal(found, expected, name);
    }
  });

  it('pass over REST as binary data', async () => {
    const raw = tensors().map(encodeRaw);
    const inputs = tensors().map(({ name, datatype }, index) => ({
      name,
      datatype,
      shape: [2],
      parameters: { binary_data_size: raw[index]?.byteLength },
    }));
    const json = Buffer.from(JSON.stringify({ inputs, parameters: { binary_data_output: true } }));
    const headers = { 'Inference-Header-Content-Length': String(json.byteLength) };
    const response = await fetch(http, { method: 'POST', headers, body: Buffer.concat([json, ...raw]) });
    const body = Buffer.from(await response.arrayBuffer());
    assert.equal(response.status, 200, body.toString());
    const length = Number(response.headers.get('Inference-Header-Content-Length'));
    assert.deepEqual(body.subarray(length), Buffer.concat(raw));
  });

  const infer = (request: object): Promise<{ raw_output_contents: Buffer[] }> =>
    new Promise((resolve, reject) => {
      const { ModelInfer } = client as unknown as Record<
        string,
        (
          request: object,
          done: (error: Error | null, answer: { raw_output_contents: Buffer[] }) => void,
        ) => void
      >;
      ModelInfer?.call(client, request, (error, answer) =>
        error === null ? resolve(answer) : reject(error),
      );
    });

  it('pass over gRPC, raw', async () => {
    const raw = tensors().map(encodeRaw);
    const inputs = tensors().map(({ name, datatype }) => ({ name, datatype, shape: [2] }));
    const answer = await infer({ model_name: 'm', inputs, raw_input_contents: raw });
    assert.deepEqual(Buffer.concat(answer.raw_output_contents), Buffer.concat(raw));
  });
});
