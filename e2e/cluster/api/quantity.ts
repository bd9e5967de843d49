/** Resource quantities: `500m`, `1.5Gi`, `2e3`. */
import type { Json } from './json.ts';

const binary: Readonly<Record<string, bigint>> = {
  Ki: 1n << 10n,
  Mi: 1n << 20n,
  Gi: 1n << 30n,
  Ti: 1n << 40n,
  Pi: 1n << 50n,
  Ei: 1n << 60n,
};
const decimalExponent: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};

/** The exact value in units of 10⁻⁹ (rounded up below that); undefined when the text is no quantity. */
export function parseQuantity(value: Json | undefined): bigint | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string') return undefined;
  const match = /^([+-]?)(\d+\.?\d*|\.\d+)(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?\d+))?$/.exec(text);
  if (!match) return undefined;
  const [, sign, digits, binarySuffix, decimalSuffix, exponentText] = match;
  const [whole, fraction = ''] = digits!.split('.');
  let mantissa = BigInt(`${whole || '0'}${fraction}`);
  let exponent = 9 - fraction.length;
  if (binarySuffix) mantissa *= binary[binarySuffix]!;
  else if (exponentText !== undefined) exponent += Number(exponentText);
  else exponent += decimalExponent[decimalSuffix ?? '']!;
  if (Math.abs(exponent) > 60) return undefined;
  let result: bigint;
  if (exponent >= 0) {
    result = mantissa * 10n ** BigInt(exponent);
  } else {
    const divisor = 10n ** BigInt(-exponent);
    result = (mantissa + divisor - 1n) / divisor;
  }
  return sign === '-' ? -result : result;
}

export function isZero(value: Json): boolean {
  return parseQuantity(value) === 0n;
}
