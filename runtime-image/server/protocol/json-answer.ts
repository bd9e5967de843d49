/** Encodes the REST inference answer: JSON, followed by the raw bytes of outputs that were asked for as binary. Pure. */
import { invalid } from './errors.ts';
import { maxJsonElements } from './limits.ts';
import { encodeRaw } from './raw.ts';
import { arrayOf, type InferAnswer, type InferRequest, type Tensor } from './tensor.ts';

export interface EncodedAnswer {
  /** One chunk of JSON, then one per binary output. */
  readonly chunks: readonly Uint8Array[];
  /** Bytes of JSON when binary data follows it; else undefined. */
  readonly headerLength: number | undefined;
}

/** @throws InferenceError when the outputs are too many to be JSON */
export function encodeJsonAnswer(
  answer: InferAnswer,
  about: { readonly model: string; readonly version: string },
  request: Pick<InferRequest, 'outputs' | 'binaryOutputs'>,
): EncodedAnswer {
  const binary: Uint8Array[] = [];
  let elements = 0;
  const asked = new Map(request.outputs.map((output) => [output.name, output.binary]));
  const outputs = answer.outputs.map((tensor) => {
    const head = `{"name":${JSON.stringify(tensor.name)},"datatype":"${tensor.datatype}","shape":[${tensor.shape.join(',')}]`;
    if (!(asked.get(tensor.name) ?? request.binaryOutputs)) {
      elements += tensor.shape.reduce((product, size) => product * size, 1);
      if (elements > maxJsonElements) {
        throw invalid(`the outputs have more than ${maxJsonElements} elements; ask for them as binary data`);
      }
      return `${head},"data":${encodeData(tensor)}}`;
    }
    const raw = encodeRaw(tensor);
    binary.push(raw);
    return `${head},"parameters":{"binary_data_size":${raw.byteLength}}}`;
  });
  const id = answer.id === '' ? '' : `"id":${JSON.stringify(answer.id)},`;
  const json = Buffer.from(
    `{${id}"model_name":${JSON.stringify(about.model)},"model_version":${JSON.stringify(about.version)},"outputs":[${outputs.join(',')}]}`,
  );
  return { chunks: [json, ...binary], headerLength: binary.length > 0 ? json.byteLength : undefined };
}

const text = new TextDecoder();

/** Exact for every datatype: 64-bit integers keep all digits. JSON has no NaN and no infinity, so they become null. */
function encodeData(tensor: Tensor): string {
  switch (tensor.datatype) {
    case 'BYTES':
      return JSON.stringify(tensor.data.map((element) => text.decode(element)));
    case 'BOOL':
      return `[${Array.from(tensor.data, (byte) => byte !== 0).join(',')}]`;
    case 'FP16':
    case 'FP32':
    case 'FP64': {
      const values = arrayOf(tensor) as Float64Array<ArrayBuffer>;
      return values.every(Number.isFinite) ? `[${values.join(',')}]` : JSON.stringify(Array.from(values));
    }
    default:
      return `[${arrayOf(tensor).join(',')}]`;
  }
}
