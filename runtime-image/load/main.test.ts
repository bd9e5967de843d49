import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import { run } from './main.ts';
import { parseOptions } from './options.ts';
import { parsePlan } from './plan.ts';

/** y = x + 1 as a little server that speaks the protocol; `fault` may say what goes wrong with the n-th request. */
type Fault = (n: number) => 'fail' | 'wrong' | undefined;
const version = (n: number) => (n % 4 === 0 ? '2' : '1');

async function restServer(fault: Fault): Promise<{ address: string; close: () => Promise<void> }> {
  let n = 0;
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    n += 1;
    const body = JSON.parse(Buffer.concat(parts).toString()) as { inputs: { data: number[] }[] };
    const kind = fault(n);
    response.setHeader('sluice-version', request.headers['x-tenant'] ?? version(n));
    assert.equal(request.url, '/v2/models/m/infer');
    if (kind === 'fail') {
      response.writeHead(503).end('{"error":"no room"}');
      return;
    }
    const y = kind === 'wrong' ? Number.NaN : body.inputs[0]!.data[0]! + 1;
    response.end(JSON.stringify({ outputs: [{ name: 'y', datatype: 'FP32', shape: [1], data: [y || 0] }] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Message {
  readonly model_name: string;
  readonly raw_input_contents: readonly Buffer[];
}

async function grpcServer(fault: Fault): Promise<{ address: string; close: () => Promise<void> }> {
  const description = loadSync(fileURLToPath(new URL('../inference.proto', import.meta.url)), {
    keepCase: true,
  });
  const server = new Server();
  let n = 0;
  server.addService(description['inference.GRPCInferenceService'] as ServiceDefinition, {
    ModelInfer: (call: ServerUnaryCall<Message, object>, done: sendUnaryData<object>) => {
      n += 1;
      const kind = fault(n);
      const metadata = new Metadata();
      metadata.set('sluice-version', String(call.metadata.get('x-tenant')[0] ?? version(n)));
      call.sendMetadata(metadata);
      if (kind === 'fail') return done({ code: status.UNAVAILABLE, details: 'no room' });
      const y = Buffer.alloc(4);
      y.writeFloatLE(kind === 'wrong' ? 0 : call.request.raw_input_contents[0]!.readFloatLE(0) + 1);
      done(null, { outputs: [{ name: 'y', datatype: 'FP32', shape: [1] }], raw_output_contents: [y] });
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return { address: `127.0.0.1:${port}`, close: async () => server.forceShutdown() };
}

interface Line {
  readonly kind: string;
  readonly [field: string]: unknown;
}

async function drive(
  protocol: 'url' | 'grpc',
  fault: Fault,
  args: string[],
  file: object = {},
  sound: () => Promise<Buffer> = () => assert.fail('no file is named'),
) {
  const server = await (protocol === 'url' ? restServer : grpcServer)(fault);
  const lines: Line[] = [];
  try {
    const options = parseOptions([
      `--${protocol}`,
      server.address,
      '--request',
      'unused',
      '--interval',
      '0s',
      ...args,
    ]);
    const plan = await parsePlan(
      {
        inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [1] }],
        expect: [{ name: 'y', data: [2] }],
        ...file,
      },
      sound,
    );
    const { timeoutMs, concurrency, rate, count } = options;
    const load = { plan, model: 'm', version: options.version, timeoutMs, concurrency, rate, count };
    const errors = await run(options, load, (line) => lines.push(line as Line), new AbortController().signal);
    return { errors, lines, summary: lines.at(-1)! };
  } finally {
    await server.close();
  }
}

for (const protocol of ['url', 'grpc'] as const) {
  test(`${protocol}: right answers are counted by version`, async () => {
    const { errors, summary } = await drive(protocol, () => undefined, [
      '--count',
      '40',
      '--concurrency',
      '4',
    ]);
    assert.equal(errors, 0);
    assert.equal(summary.kind, 'summary');
    assert.equal(summary['requests'], 40);
    const versions = summary['versions'] as Record<string, { requests: number; errors: number }>;
    assert.deepEqual(
      Object.entries(versions).map(([name, { requests, errors }]) => [name, requests, errors]),
      [
        ['1', 30, 0],
        ['2', 10, 0],
      ],
    );
    const { p50, p99, max } = summary['latencyMs'] as Record<string, number>;
    assert.ok(p50! > 0 && p50! <= p99! && p99! <= max!);
  });

  test(`${protocol}: failures and wrong answers are told with time, kind and version`, async () => {
    const fault: Fault = (n) => (n === 3 ? 'fail' : n === 4 ? 'wrong' : undefined);
    const { errors, lines, summary } = await drive(protocol, fault, ['--count', '8']);
    assert.equal(errors, 2);
    const failed = protocol === 'url' ? 'http-503' : 'grpc-UNAVAILABLE';
    assert.deepEqual(summary['errorKinds'], { [failed]: 1, 'wrong-answer': 1 });
    const [first, second] = summary['failures'] as {
      at: string;
      error: string;
      message: string;
      version: string;
    }[];
    assert.equal(first!.error, failed);
    assert.match(first!.message, /no room/);
    assert.equal(first!.version, '1');
    assert.match(second!.message, /y\[0\] is 0, not 2/);
    assert.equal(second!.version, '2');
    assert.ok(Math.abs(Date.parse(first!.at) - Date.now()) < 60_000);
    assert.equal(lines.filter(({ kind }) => kind === 'failure').length, 2);
  });

  test(`${protocol}: headers go with every request`, async () => {
    const { summary } = await drive(protocol, () => undefined, [
      '--count',
      '8',
      '--header',
      'X-Tenant: beta',
    ]);
    assert.deepEqual(Object.keys(summary['versions'] as object), ['beta']);
  });

  test(`${protocol}: outputs are carried from step to step`, async () => {
    const { errors, lines } = await drive(
      protocol,
      () => undefined,
      ['--count', '1', '--print', 'y'],
      {
        // One step for each of four samples, all but the first replaced by what is carried.
        inputs: [{ name: 'x', datatype: 'FP32', shape: [1], wav: { file: 'a.wav', samples: 1, advance: 1 } }],
        carry: [{ output: 'y', input: 'x' }],
        expect: [{ name: 'y', steps: [3, 3], data: [4] }],
      },
      async () => readFile(new URL('./testdata/four-samples.wav', import.meta.url)),
    );
    assert.equal(errors, 0);
    assert.deepEqual(
      lines.filter(({ kind }) => kind === 'answer').map((line) => line['outputs']),
      [{ y: [1] }, { y: [2] }, { y: [3] }, { y: [4] }],
    );
  });
}

test('an open loop keeps its rate and a closed port is a failure to connect', async () => {
  const { errors, summary } = await drive('url', () => undefined, ['--rate', '200', '--count', '50']);
  assert.equal(errors, 0);
  assert.ok((summary['seconds'] as number) >= 0.24, `50 requests at 200/s took ${summary['seconds']} s`);

  const server = await restServer(() => undefined);
  await server.close();
  const options = parseOptions([
    '--url',
    server.address,
    '--request',
    'unused',
    '--count',
    '2',
    '--interval',
    '0s',
  ]);
  const plan = await parsePlan({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [1] }] }, () =>
    assert.fail('no file is named'),
  );
  const load = {
    plan,
    model: 'm',
    version: undefined,
    timeoutMs: 1000,
    concurrency: 1,
    rate: undefined,
    count: 2,
  };
  const lines: Line[] = [];
  await run(options, load, (line) => lines.push(line as Line), new AbortController().signal);
  assert.deepEqual(lines.at(-1)!['errorKinds'], { connect: 2 });
});

test('the command line is read strictly', () => {
  const wrong: [string[], RegExp][] = [
    [[], /exactly one of --url and --grpc/],
    [['--url', 'ftp://x', '--request', 'r'], /--url ftp:\/\/x is no http address/],
    [['--grpc', 'http://x:1', '--request', 'r'], /is not HOST:PORT/],
    [['--grpc', 'x:1'], /--request is needed/],
    [['--grpc', 'x:1', '--request', 'r', '--duration', '5'], /--duration 5 is no duration/],
    [['--grpc', 'x:1', '--request', 'r', '--count', '1.5'], /--count 1.5 is no whole number/],
    [['--grpc', 'x:1', '--request', 'r', '--speed', '1'], /--speed/],
    [['--grpc', 'x:1', '--request', 'r', '--header', 'a'], /--header a is not 'NAME: VALUE'/],
    [['--grpc', 'x:1', '--request', 'r', '--header', 'a: b\r\nc: d'], /is not 'NAME: VALUE'/],
  ];
  for (const [args, message] of wrong) assert.throws(() => parseOptions(args), message);
});
