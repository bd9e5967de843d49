/**
 * The yardstick for large tensors: our own transport and codec with nothing behind them. Sends the raw contents of a
 * request back; prints the address that it listens at.
 */

import { fileURLToPath } from 'node:url';
import { loadSync } from '@grpc/proto-loader';
import { ByteBudget } from '../server/byte-budget.ts';
import type { Service } from '../server/grpc/method.ts';
import { GrpcTransport } from '../server/grpc/transport.ts';
import { readInferRequest, writeInferAnswer } from '../server/protocol/grpc-wire.ts';
import type { InferAnswerMessage, InferRequestMessage } from '../server/protocol/messages.ts';

const proto = fileURLToPath(new URL('../inference.proto', import.meta.url));
const { ModelInfer } = loadSync(proto, { keepCase: true })[
  'inference.GRPCInferenceService'
] as unknown as Service;
if (ModelInfer === undefined) throw new Error('the protocol has no ModelInfer');

const server = new GrpcTransport({
  maxRequestBytes: 64 * 2 ** 20,
  budget: new ByteBudget(2 ** 30),
  headers: {},
  now: () => performance.now(),
  onRefused: () => undefined,
});
server.addService(
  {
    ModelInfer: {
      ...ModelInfer,
      requestDeserialize: readInferRequest,
      responseSerialize: (message) => writeInferAnswer(message as InferAnswerMessage),
    },
  },
  {
    ModelInfer: ({ request }, done) => {
      const { model_name, id, inputs, raw_input_contents } = request as InferRequestMessage;
      const answer: InferAnswerMessage = {
        model_name,
        model_version: '1',
        id,
        outputs: inputs,
        raw_output_contents: raw_input_contents,
      };
      done(null, answer);
    },
  },
);
const { address, port } = await server.listen('127.0.0.1', 0);
process.stdout.write(`${address}:${port}\n`);
