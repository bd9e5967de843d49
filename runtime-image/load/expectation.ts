/** What an answer must hold. An expectation may speak of one version and of some steps of a sequence only. */
import { decode, flatten, type Scalar, type Tensor } from './tensor.ts';

export interface Expectation {
  /** Output that it speaks of. */
  readonly name: string;
  /** Version that it speaks of; absent means every version. */
  readonly version?: string;
  /** First and last step that it speaks of, from 0; absent means every step. */
  readonly steps?: readonly [number, number];
  /** Exact values, each within `tolerance`. */
  readonly data?: readonly Scalar[];
  /** Largest difference to a value of `data`; 0 by default. */
  readonly tolerance: number;
  /** Bounds of every value. */
  readonly min?: number;
  readonly max?: number;
}

const known = ['name', 'version', 'steps', 'data', 'tolerance', 'min', 'max'];

/** Reads one entry of `expect`; `at` is its path, for messages. */
export function readExpectation(entry: Record<string, unknown>, at: string): Expectation {
  const strange = Object.keys(entry).find((key) => !known.includes(key));
  if (strange !== undefined) throw new Error(`${at}.${strange} is not known`);
  const { name, version, steps, data, tolerance = 0, min, max } = entry;
  if (typeof name !== 'string') throw new Error(`${at}.name is no text`);
  if (version !== undefined && typeof version !== 'string') throw new Error(`${at}.version is no text`);
  if (typeof tolerance !== 'number' || !(tolerance >= 0))
    throw new Error(`${at}.tolerance is no number from 0`);
  if (data === undefined && min === undefined && max === undefined) {
    throw new Error(`${at} needs data, min or max`);
  }
  return {
    name,
    tolerance,
    ...(version === undefined ? {} : { version }),
    ...(steps === undefined ? {} : { steps: range(steps, `${at}.steps`) }),
    ...(data === undefined ? {} : { data: flatten(data) }),
    ...(min === undefined ? {} : { min: number(min, `${at}.min`) }),
    ...(max === undefined ? {} : { max: number(max, `${at}.max`) }),
  };
}

/** Why the outputs of `version` at `step` are not what was expected; undefined when they are. */
export function mismatch(
  expectations: readonly Expectation[],
  step: number,
  version: string | undefined,
  outputs: readonly Tensor[],
): string | undefined {
  for (const expectation of expectations) {
    const { name, steps } = expectation;
    if (expectation.version !== undefined && expectation.version !== version) continue;
    if (steps !== undefined && (step < steps[0] || step > steps[1])) continue;
    const output = outputs.find((candidate) => candidate.name === name);
    if (output === undefined) return `the answer has no output ${name}`;
    const wrong = wrongValue(expectation, decode(output.datatype, output.raw));
    if (wrong !== undefined) return `step ${step}: ${wrong}`;
  }
  return undefined;
}

function wrongValue(expectation: Expectation, values: readonly Scalar[]): string | undefined {
  const { name, data, tolerance, min, max } = expectation;
  if (data !== undefined) {
    if (values.length !== data.length) return `${name} has ${values.length} values, not ${data.length}`;
    const index = values.findIndex((value, position) => !close(value, data[position]!, tolerance));
    if (index >= 0) return `${name}[${index}] is ${values[index]}, not ${data[index]} (within ${tolerance})`;
  }
  // Written so that NaN is out of every bound.
  const below = min === undefined ? -1 : values.findIndex((value) => !(Number(value) >= min));
  if (below >= 0) return `${name}[${below}] is ${values[below]}, below ${min}`;
  const above = max === undefined ? -1 : values.findIndex((value) => !(Number(value) <= max));
  if (above >= 0) return `${name}[${above}] is ${values[above]}, above ${max}`;
  return undefined;
}

function close(value: Scalar, wanted: Scalar, tolerance: number): boolean {
  if (typeof value === 'number' && typeof wanted === 'number') return Math.abs(value - wanted) <= tolerance;
  return value === wanted;
}

function range(value: unknown, at: string): [number, number] {
  if (!Array.isArray(value) || value.length !== 2) throw new Error(`${at} is no pair of steps`);
  return [number(value[0], `${at}[0]`), number(value[1], `${at}[1]`)];
}

function number(value: unknown, at: string): number {
  if (typeof value !== 'number' || Number.isNaN(value)) throw new Error(`${at} is no number`);
  return value;
}
