/** One ONNX Runtime session: loads a model, describes it and runs it. Used inside a worker, since every call blocks. */
import * as ort from 'onnxruntime-node';
import { type Datatype, datatypeOfOnnx, elements, onnxTypeOf } from '../protocol/datatypes.ts';
import type { ModelSpec, TensorSpec } from '../protocol/tensor.ts';
import type { OutputTensor, PackedTensor, Provider, WorkerOptions } from './messages.ts';

/** The runtime's own log writes to stderr in its own format; failures come back as errors anyway. */
const silent = 4;

export interface Loaded {
  readonly session: Session;
  readonly provider: Provider;
  readonly notes: readonly string[];
}

/** @throws Error with ONNX Runtime's message when the model cannot be loaded by any provider */
export async function load(options: WorkerOptions): Promise<Loaded> {
  const notes: string[] = [];
  const wanted: readonly Provider[] = options.provider === 'cpu' ? ['cpu'] : [options.provider, 'cpu'];
  for (const provider of wanted) {
    try {
      // A provider that cannot load throws even when another is listed after it, so the fallback is ours.
      const session = await ort.InferenceSession.create(options.modelPath, sessionOptions(provider, options));
      const { spec, leftOut } = describe(session);
      notes.push(...leftOut);
      return { session: new Session(session, spec), provider, notes };
    } catch (thrown) {
      if (provider === 'cpu') throw thrown;
      notes.push(`provider ${provider} could not be used, so cpu is: ${explain(thrown)}`);
    }
  }
  throw new Error('no provider was tried');
}

export function sessionOptions(
  provider: Provider,
  { threads, device }: Pick<WorkerOptions, 'threads' | 'device'>,
): ort.InferenceSession.SessionOptions {
  const onDevice = provider === 'cuda' || provider === 'tensorrt';
  return {
    executionProviders: [onDevice ? { name: provider, deviceId: device } : provider],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: silent,
    // A spinning thread burns the pod's CPU quota while it waits for work, and is throttled when work comes.
    extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
  };
}

function describe(session: ort.InferenceSession): { spec: ModelSpec; leftOut: readonly string[] } {
  const leftOut: string[] = [];
  const inputs = session.inputMetadata.map((value) => {
    if (!value.isTensor) throw new Error(`input ${JSON.stringify(value.name)} is not a tensor`);
    return specOf(value);
  });
  const outputs: TensorSpec[] = [];
  for (const value of session.outputMetadata) {
    if (value.isTensor) outputs.push(specOf(value));
    else leftOut.push(`output ${JSON.stringify(value.name)} is not a tensor and is left out`);
  }
  if (outputs.length === 0) throw new Error('the model has no output that is a tensor');
  return { spec: { inputs, outputs }, leftOut };
}

function specOf(value: ort.InferenceSession.TensorValueMetadata): TensorSpec {
  const datatype = datatypeOfOnnx(value.type);
  if (datatype === undefined) {
    throw new Error(
      `${JSON.stringify(value.name)} has element type ${value.type}, which the protocol cannot carry`,
    );
  }
  return {
    name: value.name,
    datatype,
    shape: value.shape.map((size) => (typeof size === 'number' ? size : -1)),
  };
}

/** Element types of ONNX, by number, that its JavaScript binding refuses in inputs and outputs. */
const refusedTypes: Readonly<Record<string, string>> = {
  14: 'complex64',
  15: 'complex128',
  16: 'bfloat16',
  17: 'float8e4m3fn',
  18: 'float8e4m3fnuz',
  19: 'float8e5m2',
  20: 'float8e5m2fnuz',
  21: 'uint4',
  22: 'int4',
};

function uncarried(type: string): string {
  return `an input or output has element type ${refusedTypes[type] ?? type}, which the protocol cannot carry; convert it to FP32 or FP16 in the model`;
}

/** The innermost cause in a message of ONNX Runtime, which nests one sentence per enclosing node. */
export function explain(thrown: unknown): string {
  const message = (thrown instanceof Error ? thrown.message : String(thrown)).trim();
  const parts = message.split('Status Message: ');
  const cause = (parts.at(-1) ?? message).trim();
  const node = /while running (\S+) node\. Name:'([^']*)'\s*$/.exec(parts.at(-2) ?? '');
  const text = node ? `${cause} (in ${node[1]} node ${node[2]})` : cause;
  // Paths and signatures of its own source say nothing to the reader.
  return text
    .replace(/^Unsupported data type: (\d+)$/, (_, type: string) => uncarried(type))
    .replace(/^Load model from \S+ failed:\s*/, '')
    .replace(/\/onnxruntime_src\/\S+\s+(.*\)\s)?/, '')
    .slice(0, 1000);
}

export class Session {
  readonly spec: ModelSpec;
  readonly #session: ort.InferenceSession;
  readonly #types: ReadonlyMap<string, Datatype>;

  constructor(session: ort.InferenceSession, spec: ModelSpec) {
    this.#session = session;
    this.spec = spec;
    this.#types = new Map(spec.outputs.map((output) => [output.name, output.datatype]));
  }

  /** Blocks the thread while the model runs. The outputs' buffers belong to the caller alone. */
  async run(
    inputs: readonly PackedTensor[],
    buffer: ArrayBuffer,
    outputs: readonly string[],
  ): Promise<readonly OutputTensor[]> {
    const feeds: Record<string, ort.Tensor> = {};
    for (const input of inputs) feeds[input.name] = feed(input, buffer);
    const results = await this.#session.run(feeds, outputs);
    return outputs.map((name) => {
      const tensor = results[name];
      const datatype = this.#types.get(name);
      if (tensor === undefined || datatype === undefined || !(tensor instanceof ort.Tensor)) {
        throw new Error(`the model gave no tensor for output ${JSON.stringify(name)}`);
      }
      return { name, datatype, shape: tensor.dims, data: outputData(tensor) };
    });
  }
}

function feed(input: PackedTensor, buffer: ArrayBuffer): ort.Tensor {
  if ('text' in input) return new ort.Tensor('string', [...input.text], input.shape);
  if (input.datatype === 'BYTES') throw new Error('BYTES travel as text');
  const { array: Elements, size } = elements[input.datatype];
  const count = input.bytes / size;
  if (input.datatype === 'FP16') return halves(new Uint16Array(buffer, input.offset, count), input.shape);
  const data = new Elements(buffer, input.offset, count);
  // The constructor's overloads list one array type per element type; the table above pairs them.
  return new ort.Tensor(onnxTypeOf(input.datatype) as 'float32', data as Float32Array, input.shape);
}

/**
 * Where JavaScript has a Float16Array, the tensor class insists on it; but the native side (1.30) sees an array without
 * bytes. It takes the bits as Uint16Array, and anything that has a tensor's fields.
 */
function halves(bits: Uint16Array, dims: readonly number[]): ort.Tensor {
  const tensor = new ort.Tensor('float16', new Uint16Array(0), [0]);
  return Object.defineProperties(tensor, {
    data: { value: bits },
    cpuData: { value: bits },
    dims: { value: dims },
    size: { value: bits.length },
  });
}

function outputData(tensor: ort.Tensor): Uint8Array<ArrayBuffer> | readonly string[] {
  const { data } = tensor;
  if (Array.isArray(data)) return data as string[];
  const view = data as Exclude<ort.Tensor['data'], string[]>;
  return new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
}
