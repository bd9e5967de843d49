/** Kubernetes quantities as numbers. */

/** What each suffix of a Kubernetes quantity multiplies by. */
const suffixes: Readonly<Record<string, number>> = {
  '': 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

const form = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)$/;

/** Parses a Kubernetes quantity (`100m`, `2Gi`, `1e3`) into base units. Throws a RangeError on anything else. */
export function parseQuantity(quantity: string | number): number {
  if (typeof quantity === 'number') return quantity;
  const match = form.exec(quantity);
  if (match === null) throw new RangeError(`not a quantity: ${quantity}`);
  const [, digits = '', exponent = '', suffix = ''] = match;
  return Number(digits + exponent) * (suffixes[suffix] ?? 1);
}

/** Like `parseQuantity`, in thousandths and whole: additions stay exact. */
export function milli(quantity: string | number): number {
  return Math.ceil(Number((parseQuantity(quantity) * 1_000).toPrecision(15)));
}
