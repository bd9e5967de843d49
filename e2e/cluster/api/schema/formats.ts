/** The string formats that the API server checks; others are ignored. */
import { isIP, isIPv4, isIPv6 } from 'node:net';

type Test = (value: string) => boolean;

function isCidr(value: string): boolean {
  const [address, bits, ...more] = value.split('/');
  if (more.length > 0 || bits === undefined || !/^\d+$/.test(bits)) return false;
  const version = isIP(address!);
  return version !== 0 && Number(bits) <= (version === 4 ? 32 : 128);
}

const durationPattern =
  /^[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*$/;
const isoDuration =
  /^\s*(\d+(\.\d+)?)\s*(ns|nanoseconds?|us|microseconds?|ms|milliseconds?|s|seconds?|m|minutes?|h|hours?|d|days?|w|weeks?)\s*$/;

const tests: Readonly<Record<string, Test>> = {
  'date-time': (value) =>
    /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/.test(value) &&
    !Number.isNaN(Date.parse(value)),
  date: (value) => /^\d{4}-\d{2}-\d{2}$/.test(value) && !Number.isNaN(Date.parse(value)),
  duration: (value) => value === '0' || durationPattern.test(value) || isoDuration.test(value),
  byte: (value) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value),
  uuid: (value) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(value),
  ipv4: isIPv4,
  ipv6: isIPv6,
  cidr: isCidr,
  hostname: (value) =>
    value.length <= 255 && /^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.?)+$/.test(value),
  email: (value) => /^[^\s@]+@[^\s@]+$/.test(value),
  mac: (value) => /^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(value),
  uri: (value) => {
    if (value.startsWith('/')) return true;
    try {
      return new URL(value).protocol !== '';
    } catch {
      return false;
    }
  },
};

/** What is wrong with `value` as `format`; undefined when nothing is, or the format is not known. */
export function formatProblem(format: string, value: string): string | undefined {
  const test = tests[format];
  return !test || test(value) ? undefined : `must be of type ${format}: ${JSON.stringify(value)}`;
}

export { isCidr };
