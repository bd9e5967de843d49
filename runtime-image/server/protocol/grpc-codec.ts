/** Requests and answers from and to the gRPC messages. Pure; the bytes are read and written by grpc-wire.ts. */
import { type Datatype, datatypes, isDatatype } from './datatypes.ts';
import { fromValues } from './elements.ts';
import { invalid, quote } from './errors.ts';
import { decodeTimeout, refuseUnsupported } from './json-request.ts';
import type {
  Contents,
  InferAnswerMessage,
  InferRequestMessage,
  InputMessage,
  Parameters,
} from './messages.ts';
import { decodeRaw, encodeRaw } from './raw.ts';
import { elementCount, type InferAnswer, type InferRequest, type Tensor } from './tensor.ts';

/** The one field of the typed contents that carries a datatype. FP16 has none: it travels raw only. */
const fieldOf: Readonly<Record<Datatype, keyof Contents | undefined>> = {
  BOOL: 'bool_contents',
  UINT8: 'uint_contents',
  UINT16: 'uint_contents',
  UINT32: 'uint_contents',
  UINT64: 'uint64_contents',
  INT8: 'int_contents',
  INT16: 'int_contents',
  INT32: 'int_contents',
  INT64: 'int64_contents',
  FP16: undefined,
  FP32: 'fp32_contents',
  FP64: 'fp64_contents',
  BYTES: 'bytes_contents',
};
const contentFields = [...new Set(Object.values(fieldOf))].filter((name) => name !== undefined);

/** @throws InferenceError naming the input */
export function decodeInferRequest(message: InferRequestMessage): InferRequest {
  const raw = message.raw_input_contents;
  if (raw.length > 0 && raw.length !== message.inputs.length) {
    throw invalid(
      `raw_input_contents has ${raw.length} entries for ${message.inputs.length} inputs; it has one per input, or none`,
    );
  }
  const inputs = message.inputs.map((input, index) => decodeInput(input, index, raw[index]));
  const parameters = plain(message.parameters);
  refuseUnsupported(parameters, 'the request');
  const outputs = message.outputs.map((output) => {
    refuseUnsupported(plain(output.parameters), `output ${quote(output.name)}`);
    return { name: output.name, binary: true };
  });
  return {
    id: message.id,
    inputs,
    outputs,
    binaryOutputs: true,
    timeoutMs: decodeTimeout(parameters['timeout']),
  };
}

function plain(parameters: Parameters | null | undefined): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(parameters ?? {}).map(([name, value]) => [
      name,
      value.parameter_choice === undefined ? undefined : value[value.parameter_choice as keyof typeof value],
    ]),
  );
}

function decodeInput(input: InputMessage, index: number, raw: Uint8Array | undefined): Tensor {
  const { name, datatype, shape, contents } = input;
  if (name === '') throw invalid(`inputs[${index}] has no name`);
  if (!isDatatype(datatype)) {
    throw invalid(`input ${quote(name)}: datatype ${quote(datatype)} is none of ${datatypes.join(', ')}`);
  }
  refuseUnsupported(plain(input.parameters), `input ${quote(name)}`);
  const filled = contentFields.filter((field) => (contents?.[field]?.length ?? 0) > 0);
  if (raw !== undefined) {
    if (filled.length > 0) {
      throw invalid(`input ${quote(name)} has contents although the request has raw_input_contents`);
    }
    return decodeRaw(name, datatype, shape, raw);
  }
  return decodeContents(name, datatype, shape, contents, filled);
}

function decodeContents(
  name: string,
  datatype: Datatype,
  shape: readonly number[],
  contents: Contents | null,
  filled: readonly (keyof Contents)[],
): Tensor {
  const count = elementCount(name, shape);
  const field = fieldOf[datatype];
  if (field === undefined) {
    throw invalid(`input ${quote(name)}: ${datatype} travels in raw_input_contents only`);
  }
  const wrong = filled.find((other) => other !== field);
  if (wrong !== undefined) {
    throw invalid(`input ${quote(name)}: its ${datatype} contents are in ${wrong}; they belong in ${field}`);
  }
  const values = contents?.[field] ?? [];
  if (values.length !== count) {
    throw invalid(
      `input ${quote(name)} has ${values.length} elements in ${field}; shape [${shape.join(',')}] has ${count}`,
    );
  }
  if (datatype === 'BYTES') return { name, datatype, shape, data: values as readonly Uint8Array[] };
  return fromValues(name, datatype, shape, values);
}

/** Outputs travel raw, which every client of the protocol reads, and which costs no conversion. */
export function encodeInferAnswer(
  answer: InferAnswer,
  about: { readonly model: string; readonly version: string },
): InferAnswerMessage {
  return {
    model_name: about.model,
    model_version: about.version,
    id: answer.id,
    outputs: answer.outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
    raw_output_contents: answer.outputs.map(encodeRaw),
  };
}
