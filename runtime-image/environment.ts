/** Readers of environment values. Each refuses what it does not understand, by the variable's name. */
import { isDigest } from './artifact-record.ts';
import { Failure } from './termination.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The value, or undefined when it is absent or empty (an empty value in a pod spec means "not set"). */
export function optional(source: Environment, name: string): string | undefined {
  const value = source[name];
  return value === undefined || value === '' ? undefined : value;
}

export function required(source: Environment, name: string): string {
  const value = optional(source, name);
  if (value === undefined) throw new Failure('ConfigurationInvalid', `${name} is not set`);
  return value;
}

/** A SHA-256 in hex; lower-case. Undefined when the variable is not set. */
export function digest(source: Environment, name: string): string | undefined {
  const value = optional(source, name)?.toLowerCase();
  if (value !== undefined && !isDigest(value))
    throw new Failure('ConfigurationInvalid', `${name} is not 64 hexadecimal digits`);
  return value;
}

/** A decimal integer within [min, max]. */
export function integer(
  source: Environment,
  name: string,
  fallback: number,
  bounds: { readonly min: number; readonly max: number },
): number {
  const value = optional(source, name);
  if (value === undefined) return fallback;
  const parsed = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (!(parsed >= bounds.min && parsed <= bounds.max)) {
    throw new Failure(
      'ConfigurationInvalid',
      `${name}=${JSON.stringify(value)} is not a whole number from ${bounds.min} to ${bounds.max}`,
    );
  }
  return parsed;
}

/** One of a closed set of words. */
export function oneOf<const W extends string>(
  source: Environment,
  name: string,
  fallback: W,
  words: readonly W[],
): W {
  const value = optional(source, name);
  if (value === undefined) return fallback;
  const word = words.find((candidate) => candidate === value);
  if (word === undefined) {
    throw new Failure(
      'ConfigurationInvalid',
      `${name}=${JSON.stringify(value)} is none of ${words.join(', ')}`,
    );
  }
  return word;
}

/** Comma-separated words, trimmed, without empty ones. */
export function list(source: Environment, name: string): readonly string[] {
  return (optional(source, name) ?? '')
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `20s`, `2ms`, `1m30s` and the like, in milliseconds; undefined when it is no duration. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    total += Number(amount) * (unitMs[unit ?? ''] ?? Number.NaN);
  }
  return total;
}
