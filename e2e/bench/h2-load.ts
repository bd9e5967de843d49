/** gRPC load from h2load, which costs the machine little, so that the server is what is measured. */
import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client, credentials } from '@grpc/grpc-js';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import { temporaryFolder } from '../../runtime-image/testing/process.ts';

const run = promisify(execFile);

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

/** Answers a second. @throws Error when h2load is not there, or a request failed */
export async function h2Load(load: Load): Promise<(seconds: number) => Promise<number>> {
  const { address, request, connections, streamsPerConnection } = load;
  await verify(address, request);
  return async (seconds) => {
    const folder = temporaryFolder();
    try {
      const body = join(folder, 'request');
      const message = ModelInfer?.requestSerialize(request) as Buffer;
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(message.byteLength, 1);
      writeFileSync(body, Buffer.concat([prefix, message]));
      const { stdout } = await run('h2load', [
        ...['-D', String(seconds), '-c', String(connections), '-m', String(streamsPerConnection), '-d', body],
        ...['-H', 'content-type: application/grpc', '-H', 'te: trailers'],
        `http://${address}${ModelInfer?.path}`,
      ]).catch((error: NodeJS.ErrnoException) => {
        throw error.code === 'ENOENT'
          ? new Error('h2load is needed (Debian: apt install nghttp2-client)', { cause: error })
          : error;
      });
      const [, done, failed] = /(\d+) succeeded, (\d+) failed/.exec(stdout) ?? [];
      if (done === undefined || Number(failed) > 0) throw new Error(`requests failed:\n${stdout}`);
      return Number(done) / seconds;
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
}
