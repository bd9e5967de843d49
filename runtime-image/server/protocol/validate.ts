/** Checks a decoded request against the model's metadata, so that nothing a client sends surprises the engine. */
import { invalid, quote } from './errors.ts';
import type { InferRequest, ModelSpec, Tensor, TensorSpec } from './tensor.ts';

export interface PlannedRequest {
  /** In the order of the model's inputs. */
  readonly inputs: readonly Tensor[];
  /** Names, in the order the client asked for, or the model's. */
  readonly outputs: readonly string[];
}

/** @throws InferenceError with the name of the input or output that is wrong, and what it should be. */
export function plan(request: Pick<InferRequest, 'inputs' | 'outputs'>, model: ModelSpec): PlannedRequest {
  const given = new Map<string, Tensor>();
  for (const tensor of request.inputs) {
    if (given.has(tensor.name)) throw invalid(`input ${quote(tensor.name)} is given twice`);
    given.set(tensor.name, tensor);
  }
  const inputs = model.inputs.map((spec) => {
    const tensor = given.get(spec.name);
    if (tensor === undefined) throw invalid(`input ${quote(spec.name)} is missing; ${inputNames(model)}`);
    given.delete(spec.name);
    check(tensor, spec);
    return tensor;
  });
  for (const name of given.keys()) throw invalid(`input ${quote(name)} is unknown; ${inputNames(model)}`);
  return { inputs, outputs: planOutputs(request.outputs, model) };
}

function planOutputs(requested: InferRequest['outputs'], model: ModelSpec): readonly string[] {
  const names = model.outputs.map((spec) => spec.name);
  if (requested.length === 0) return names;
  const seen = new Set<string>();
  for (const { name } of requested) {
    if (!names.includes(name)) {
      throw invalid(
        `output ${quote(name)} is unknown; the model's outputs are ${names.map(quote).join(', ')}`,
      );
    }
    if (seen.has(name)) throw invalid(`output ${quote(name)} is requested twice`);
    seen.add(name);
  }
  return [...seen];
}

function inputNames(model: ModelSpec): string {
  return `the model's inputs are ${model.inputs.map((spec) => quote(spec.name)).join(', ')}`;
}

function check(tensor: Tensor, spec: TensorSpec): void {
  if (tensor.datatype !== spec.datatype) {
    throw invalid(
      `input ${quote(spec.name)} has datatype ${tensor.datatype}; the model takes ${spec.datatype}`,
    );
  }
  const fits =
    tensor.shape.length === spec.shape.length &&
    spec.shape.every((dimension, index) => dimension === -1 || dimension === tensor.shape[index]);
  if (!fits) {
    throw invalid(
      `input ${quote(spec.name)} has shape [${tensor.shape.join(',')}]; the model takes [${spec.shape.join(',')}]`,
    );
  }
  if (tensor.datatype === 'BYTES') checkText(tensor.name, tensor.data);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** ONNX Runtime's JavaScript strings are text; other bytes would come out changed. */
function checkText(name: string, data: readonly Uint8Array[]): void {
  data.forEach((element, index) => {
    try {
      utf8.decode(element);
    } catch {
      throw invalid(`input ${quote(name)}: BYTES element ${index} is not valid UTF-8`);
    }
  });
}
