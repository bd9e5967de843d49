/**
 * What is sent, and what must come back: a request file, read into tensors.
 *
 * A request file is JSON: `inputs`, each with name, datatype, shape and one source of its values, which is `data` (the
 * values), `fill` (one value for all) or `wav` (samples of a sound file beside it); `carry` (outputs that are inputs of
 * the next step); and `expect`. When a `wav` has `advance`, the request is a sequence: one step for every `advance`
 * samples, each preceded by the `lead` samples before it (zeros at the start).
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type Expectation, readExpectation } from './expectation.ts';
import { type Datatype, elements, encode, flatten, isDatatype, type Tensor } from './tensor.ts';
import { parseWav, type Sound } from './wav.ts';

export interface Plan {
  /** Model named in the file, when it names one. */
  readonly model: string | undefined;
  /** Requests in one pass. */
  readonly steps: number;
  /** Inputs of a step, before anything is carried over. */
  inputs(step: number): readonly Tensor[];
  readonly carry: readonly { readonly output: string; readonly input: string }[];
  readonly expect: readonly Expectation[];
}

interface Source {
  readonly steps: number;
  tensor(step: number): Tensor;
}

/** Reads the request file at `path`. Throws with the path of the field that is wrong. */
export async function readPlan(path: string): Promise<Plan> {
  const text = await readFile(path, 'utf8');
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is not JSON: ${(error as Error).message}`, { cause: error });
  }
  return parsePlan(parsed, (name) => readFile(resolve(dirname(path), name)));
}

/** Reads a request from parsed JSON; `open` reads the files it names. */
export async function parsePlan(value: unknown, open: (name: string) => Promise<Buffer>): Promise<Plan> {
  const file = object(value, 'the request file');
  const inputs = array(file['inputs'], 'inputs');
  if (inputs.length === 0) throw new Error('inputs is empty');
  const sources = await Promise.all(
    inputs.map((input, index) => readSource(input, `inputs[${index}]`, open)),
  );
  const lengths = new Set(
    sources.map(({ steps }) => steps).filter((steps) => steps !== Number.POSITIVE_INFINITY),
  );
  if (lengths.size > 1) throw new Error('inputs have sequences of different lengths');
  const [steps = 1] = lengths;
  return {
    model: file['model'] === undefined ? undefined : string(file['model'], 'model'),
    steps,
    inputs: (step) => sources.map((source) => source.tensor(step)),
    carry: array(file['carry'] ?? [], 'carry').map((entry, index) => {
      const pair = object(entry, `carry[${index}]`);
      return {
        output: string(pair['output'], `carry[${index}].output`),
        input: string(pair['input'], `carry[${index}].input`),
      };
    }),
    expect: array(file['expect'] ?? [], 'expect').map((entry, index) =>
      readExpectation(object(entry, `expect[${index}]`), `expect[${index}]`),
    ),
  };
}

async function readSource(
  value: unknown,
  at: string,
  open: (name: string) => Promise<Buffer>,
): Promise<Source> {
  const input = object(value, at);
  const name = string(input['name'], `${at}.name`);
  const datatype = input['datatype'];
  if (!isDatatype(datatype)) throw new Error(`${at}.datatype ${JSON.stringify(datatype)} is not supported`);
  const shape = array(input['shape'], `${at}.shape`).map((dimension, index) =>
    whole(dimension, `${at}.shape[${index}]`),
  );
  const given = ['data', 'fill', 'wav'].filter((key) => input[key] !== undefined);
  if (given.length !== 1) throw new Error(`${at} needs exactly one of data, fill and wav`);
  if (input['wav'] !== undefined)
    return readSound(input['wav'], { name, datatype, shape }, `${at}.wav`, open);

  const values =
    input['fill'] === undefined
      ? flatten(input['data'])
      : new Array(elements(shape)).fill(flatten(input['fill'])[0]);
  if (values.length !== elements(shape)) {
    throw new Error(`${at}.data has ${values.length} values, but its shape holds ${elements(shape)}`);
  }
  const tensor = { name, datatype, shape, raw: encode(datatype, values) };
  return { steps: Number.POSITIVE_INFINITY, tensor: () => tensor };
}

async function readSound(
  value: unknown,
  about: { readonly name: string; readonly datatype: Datatype; readonly shape: readonly number[] },
  at: string,
  open: (name: string) => Promise<Buffer>,
): Promise<Source> {
  const wav = object(value, at);
  const file = string(wav['file'], `${at}.file`);
  let sound: Sound;
  try {
    sound = parseWav(await open(file));
  } catch (error) {
    throw new Error(`${at}.file ${file}: ${(error as Error).message}`, { cause: error });
  }
  const samples = whole(wav['samples'], `${at}.samples`);
  const from = whole(wav['from'] ?? 0, `${at}.from`);
  const lead = whole(wav['lead'] ?? 0, `${at}.lead`);
  const advance = wav['advance'] === undefined ? undefined : whole(wav['advance'], `${at}.advance`);
  if (samples !== elements(about.shape)) {
    throw new Error(`${at}.samples is ${samples}, but the shape holds ${elements(about.shape)}`);
  }
  if (advance === 0) throw new Error(`${at}.advance must be above 0`);
  const window = (start: number): Tensor => {
    const values = Array.from({ length: samples }, (_, index) => sound.samples[start + index] ?? 0);
    return { ...about, raw: encode(about.datatype, values) };
  };
  if (advance === undefined) {
    const tensor = window(from);
    return { steps: Number.POSITIVE_INFINITY, tensor: () => tensor };
  }
  // Only whole windows are sent; what is left at the end of the sound is not padded.
  const steps = Math.floor((sound.samples.length - from - (samples - lead)) / advance) + 1;
  if (steps < 1) throw new Error(`${at}.file ${file} is shorter than one window`);
  const windows = Array.from({ length: steps }, (_, step) => window(from + step * advance - lead));
  return { steps, tensor: (step) => windows[step % steps]! };
}

function object(value: unknown, at: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${at} is no object`);
  return value as Record<string, unknown>;
}

function array(value: unknown, at: string): unknown[] {
  if (!Array.isArray(value)) throw new Error(`${at} is no list`);
  return value;
}

function string(value: unknown, at: string): string {
  if (typeof value !== 'string' || value === '') throw new Error(`${at} is no text`);
  return value;
}

function whole(value: unknown, at: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new Error(`${at} is no whole number`);
  }
  return value;
}
