/** Requests of the inference protocol as load on a server, which is first asked whether it answers them. */
import { fileURLToPath } from 'node:url';
import { Client, credentials } from '@grpc/grpc-js';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import { grpc } from './load.ts';

const protocol = loadSync(fileURLToPath(new URL('../../runtime-image/inference.proto', import.meta.url)), {
  keepCase: true,
});
export const { ModelInfer } = protocol['inference.GRPCInferenceService'] as ServiceDefinition;

export interface Load {
  readonly address: string;
  readonly request: object;
  readonly connections: number;
  readonly streamsPerConnection: number;
}

/** Sends one request by an ordinary client, and rejects when it is not answered with outputs. */
async function verify(address: string, request: object): Promise<void> {
  const client = new Client(address, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
  });
  if (ModelInfer === undefined) throw new Error('the protocol has no ModelInfer');
  const { path, requestSerialize, responseDeserialize } = ModelInfer;
  const answer = await new Promise<unknown>((resolve, reject) =>
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, value) =>
      error === null ? resolve(value) : reject(error),
    ),
  );
  client.close();
  const contents = (answer as { raw_output_contents?: readonly Uint8Array[] }).raw_output_contents;
  if ((contents?.[0]?.byteLength ?? 0) === 0) throw new Error('the answer has no output');
}

/** Answers a second, of any time in seconds. @throws Error when a request fails */
export async function h2Load(load: Load): Promise<(seconds: number) => Promise<number>> {
  const { address, request, connections, streamsPerConnection } = load;
  await verify(address, request);
  const message = ModelInfer?.requestSerialize(request) as Buffer;
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.byteLength, 1);
  const body = Buffer.concat([prefix, message]);
  const url = `http://${address}${ModelInfer?.path}`;
  return async (seconds) => {
    const { perSecond } = await grpc({ url, seconds, body, connections, streams: streamsPerConnection });
    return perSecond;
  };
}
