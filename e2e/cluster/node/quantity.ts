/** Kubernetes quantities as numbers. */

const factors: Readonly<Record<string, number>> = {
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

/** The value in units of the resource (cores, bytes, devices). Throws a RangeError on anything else. */
export function quantity(written: string | number): number {
  if (typeof written === 'number') return written;
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([numkMGTPE]|[KMGTPE]i)?$/.exec(written);
  const factor = factors[match?.[2] ?? ''];
  if (!match || factor === undefined) throw new RangeError(`not a quantity: ${JSON.stringify(written)}`);
  return Number(match[1]) * factor;
}

/** Like `quantity`, in thousandths and whole: additions stay exact. */
export function milli(written: string | number): number {
  return Math.ceil(Number((quantity(written) * 1000).toPrecision(15)));
}
