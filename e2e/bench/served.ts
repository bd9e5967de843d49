/** A server of the image that serves a model made up for a measurement. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { env, modelFile } from '#contract';
import { ImageProcess, temporaryFolder } from '../../runtime-image/testing/process.ts';

export interface Served extends AsyncDisposable {
  readonly process: ImageProcess;
  readonly grpc: string;
  /** Its metrics by name, each the first of that name. @throws Error when a request has failed */
  metrics(): Promise<(name: string) => number>;
}

/** A server that is ready, with one thread for each run if the variables do not say otherwise. */
export async function serve(model: Uint8Array, variables: Record<string, string> = {}): Promise<Served> {
  const folder = temporaryFolder();
  writeFileSync(join(folder, modelFile), model);
  const own = { [env.model]: 'm', [env.version]: '1', [env.modelDir]: folder, [env.threads]: '1' };
  const ports = { [env.httpPort]: '0', [env.grpcPort]: '0', [env.metricsPort]: '0' };
  await using stack = new AsyncDisposableStack();
  const server = stack.use(
    new ImageProcess('serve', { ...own, ...ports, [env.bindAddress]: '127.0.0.1', ...variables }, folder),
  );
  await server.logged('serving');
  const listening = await server.logged('listening');
  const started = stack.move();
  return {
    process: server,
    grpc: String(listening['grpc']),
    metrics: async () => {
      const text = await (await fetch(`http://${listening['metrics']}/metrics`)).text();
      // h2load takes a status of gRPC for an answer; and it breaks off what is under way at the end.
      const failed = /^nv_inference_request_failure{(?!.*reason="CANCELED").*$/m.exec(text);
      if (failed !== null) throw new Error(`requests have failed: ${failed[0]}`);
      return (name) => Number(new RegExp(`^${name}({[^}]*})? (\\S+)`, 'm').exec(text)?.[2]);
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

/** A request with one input, `x`. */
export const requestOf = (data: Float32Array, shape: readonly number[]) => ({
  model_name: 'm',
  inputs: [{ name: 'x', datatype: 'FP32', shape }],
  raw_input_contents: [Buffer.from(data.buffer)],
});
