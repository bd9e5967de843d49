/** Open Inference Protocol v2 over gRPC, with raw tensors. */
import { fileURLToPath } from 'node:url';
import {
  Client as Channel,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import { versionHeader } from '#contract';
import { type Answer, type Client, type InferRequest, RequestFailed } from './client.ts';
import { encode, isDatatype, type Tensor } from './tensor.ts';

interface Contents {
  readonly [field: string]: readonly (number | boolean | string | Buffer)[] | undefined;
}

interface Response {
  readonly model_version: string;
  readonly outputs: readonly {
    readonly name: string;
    readonly datatype: string;
    readonly shape: readonly number[];
    readonly contents: Contents | null;
  }[];
  readonly raw_output_contents: readonly Buffer[];
}

type Method = MethodDefinition<object, Response>;

const description = loadSync(fileURLToPath(new URL('../inference.proto', import.meta.url)), {
  keepCase: true,
  longs: Number,
  defaults: true,
});
const service = description['inference.GRPCInferenceService'] as ServiceDefinition;
const modelInfer = service['ModelInfer'] as unknown as Method;
const maxMessage = 256 * 1024 * 1024;

type Headers = Readonly<Record<string, string>>;

/**
 * A client of the server at `address` (`host:port`) that spreads requests over `connections` connections in turn.
 *
 * @param headers metadata of every call
 */
export function grpcClient(address: string, connections: number, headers: Headers = {}): Client {
  const channels = Array.from(
    { length: connections },
    () =>
      new Channel(address, credentials.createInsecure(), {
        // Without it all channels to one address share a connection.
        'grpc.use_local_subchannel_pool': 1,
        'grpc.max_receive_message_length': maxMessage,
        'grpc.max_send_message_length': maxMessage,
        'grpc.initial_reconnect_backoff_ms': 50,
        'grpc.max_reconnect_backoff_ms': 1000,
      }),
  );
  let turn = 0;
  return {
    infer: (request, timeoutMs) => {
      turn = (turn + 1) % channels.length;
      return infer(channels[turn]!, headers, request, timeoutMs);
    },
    close: async () => {
      for (const channel of channels) channel.close();
    },
  };
}

function infer(
  channel: Channel,
  headers: Headers,
  request: InferRequest,
  timeoutMs: number,
): Promise<Answer> {
  const { model, version, id, inputs } = request;
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  if (version !== undefined) metadata.set(versionHeader, version);
  const message = {
    model_name: model,
    model_version: version ?? '',
    id,
    inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
    raw_input_contents: inputs.map(({ raw }) => raw),
  };
  return new Promise((resolve, reject) => {
    let answeredBy: string | undefined;
    const call = channel.makeUnaryRequest(
      modelInfer.path,
      modelInfer.requestSerialize,
      modelInfer.responseDeserialize,
      message,
      metadata,
      { deadline: Date.now() + timeoutMs },
      (error: ServiceError | null, response?: Response) => {
        if (error) return reject(failure(error, answeredBy ?? versionOf(error.metadata), timeoutMs));
        try {
          resolve({ version: answeredBy, outputs: readOutputs(response!) });
        } catch (problem) {
          reject(
            new RequestFailed('malformed', (problem as Error).message, {
              cause: problem,
              version: answeredBy,
            }),
          );
        }
      },
    );
    call.on('metadata', (header: Metadata) => {
      answeredBy = versionOf(header);
    });
  });
}

function versionOf(metadata: Metadata | undefined): string | undefined {
  const value = metadata?.get(versionHeader)[0];
  return value === undefined ? undefined : String(value);
}

function failure(error: ServiceError, version: string | undefined, timeoutMs: number): RequestFailed {
  if (error.code === status.DEADLINE_EXCEEDED) {
    return new RequestFailed('timeout', `no answer within ${timeoutMs} ms`, { cause: error, version });
  }
  return new RequestFailed(`grpc-${status[error.code] ?? error.code}`, error.details || error.message, {
    cause: error,
    version,
  });
}

const contentFields = [
  'bool_contents',
  'int_contents',
  'int64_contents',
  'uint_contents',
  'uint64_contents',
  'fp32_contents',
  'fp64_contents',
  'bytes_contents',
] as const;

function readOutputs(response: Response): Tensor[] {
  const { outputs, raw_output_contents: raws } = response;
  return outputs.map(({ name, datatype, shape, contents }, index) => {
    if (!isDatatype(datatype)) throw new Error(`output ${name} has datatype ${datatype}`);
    const raw = raws[index];
    if (raw !== undefined) return { name, datatype, shape, raw };
    const filled = contentFields.find((field) => (contents?.[field]?.length ?? 0) > 0);
    const values = filled === undefined ? [] : (contents?.[filled] ?? []);
    return { name, datatype, shape, raw: encode(datatype, values.map(scalar)) };
  });
}

function scalar(value: number | boolean | string | Buffer): number | boolean | string {
  return Buffer.isBuffer(value) ? value.toString('utf8') : value;
}
