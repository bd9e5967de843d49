/** The functions that Kubernetes adds to CEL, registered on an environment. */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { type Environment, Optional } from '@marcbachmann/cel-js';
import {
  isDns1035Label,
  isLabel,
  isLabelValue,
  isQualifiedName,
  isSubdomain,
  type NameCheck,
} from '../kinds/names.ts';
import { parseQuantity } from '../quantity.ts';
import { formatProblem, isCidr } from './formats.ts';
import { compilePattern } from './validate.ts';

class Quantity {
  readonly value: bigint;
  constructor(value: bigint) {
    this.value = value;
  }
}
class Url {
  readonly url: URL;
  constructor(url: URL) {
    this.url = url;
  }
}
class Ip {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}
class Cidr {
  readonly address: string;
  readonly bits: number;
  constructor(text: string) {
    const [address, bits] = text.split('/');
    this.address = address!;
    this.bits = Number(bits);
  }
}
class Format {
  readonly check: NameCheck;
  constructor(check: NameCheck) {
    this.check = check;
  }
}
class FormatLibrary {}

const unit = 1_000_000_000n;

type Comparable = bigint | number | string | boolean | Date;

function less(a: unknown, b: unknown): boolean {
  return (a as Comparable) < (b as Comparable);
}

function sum(list: unknown[]): unknown {
  if (list.length === 0) return 0n;
  if (typeof list[0] === 'number') return (list as number[]).reduce((total, each) => total + each, 0);
  return (list as bigint[]).reduce((total, each) => total + each, 0n);
}

function extreme(list: unknown[], name: string, better: (a: unknown, b: unknown) => boolean): unknown {
  if (list.length === 0) throw new Error(`${name} called on empty list`);
  return list.reduce((best, each) => (better(each, best) ? each : best));
}

function parseUrl(text: string): URL {
  // Go's ParseRequestURI also takes an absolute path.
  return text.startsWith('/') ? new URL(text, 'relative://') : new URL(text);
}

function isUrl(text: string): boolean {
  try {
    parseUrl(text);
    return text.startsWith('/') || /^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(text);
  } catch {
    return false;
  }
}

function quantity(text: string): Quantity {
  const value = parseQuantity(text);
  if (value === undefined) throw new Error('quantities must match the regular expression');
  return new Quantity(value);
}

function ipBits(text: string): bigint {
  if (isIPv4(text)) return text.split('.').reduce((total, part) => total * 256n + BigInt(part), 0n);
  const host = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const [head, tail] = host.split('::');
  const left = head ? head.split(':') : [];
  const right = tail ? tail.split(':') : [];
  const parts =
    tail === undefined
      ? left
      : [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return parts.reduce((total, part) => total * 65536n + BigInt(`0x${part || '0'}`), 0n);
}

function contains(cidr: Cidr, address: string): boolean {
  if (isIP(cidr.address) !== isIP(address)) return false;
  const size = isIPv4(address) ? 32n : 128n;
  const shift = size - BigInt(cidr.bits);
  return ipBits(cidr.address) >> shift === ipBits(address) >> shift;
}

const namedFormats: Readonly<Record<string, NameCheck>> = {
  dns1123Label: isLabel,
  dns1123Subdomain: isSubdomain,
  dns1035Label: isDns1035Label,
  qualifiedName: isQualifiedName,
  labelValue: isLabelValue,
  dns1123LabelPrefix: (text) => isLabel(text.replace(/-$/, '')),
  dns1123SubdomainPrefix: (text) => isSubdomain(text.replace(/-$/, '')),
  dns1035LabelPrefix: (text) => isDns1035Label(text.replace(/-$/, '')),
  uri: (text) => (isUrl(text) ? [] : ['invalid URI']),
  uuid: (text) => (formatProblem('uuid', text) ? ['does not match the UUID pattern'] : []),
  byte: (text) => (formatProblem('byte', text) ? ['invalid base64'] : []),
  date: (text) => (formatProblem('date', text) ? ['invalid date'] : []),
  datetime: (text) => (formatProblem('date-time', text) ? ['invalid datetime'] : []),
};

/** `%s`, `%d`, `%f`, `%e`, `%x`, `%X`, `%o`, `%b`, with precision. */
function formatText(template: string, values: unknown[]): string {
  let next = 0;
  return template.replaceAll(
    /%(?:%|(?:\.(\d+))?([sdfexXob]))/g,
    (match, precision: string | undefined, verb: string) => {
      if (match === '%%') return '%';
      if (next >= values.length) throw new Error(`index ${next} out of range`);
      const value = values[next];
      next += 1;
      switch (verb) {
        case 's':
          return display(value);
        case 'd':
          return String(value);
        case 'f':
          return Number(value).toFixed(Number(precision ?? 6));
        case 'e':
          return Number(value).toExponential(Number(precision ?? 6));
        case 'x':
        case 'X': {
          const text =
            typeof value === 'string' ? Buffer.from(value).toString('hex') : (value as bigint).toString(16);
          return verb === 'X' ? text.toUpperCase() : text;
        }
        case 'o':
          return (value as bigint).toString(8);
        default:
          return typeof value === 'boolean' ? (value ? '1' : '0') : (value as bigint).toString(2);
      }
    },
  );
}

function display(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(display).join(', ')}]`;
  if (value instanceof Date) return value.toISOString().replace('.000Z', 'Z');
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value as object).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, each]) => `${key}: ${display(each)}`).join(', ')}}`;
  }
  return String(value);
}

function same(a: unknown, b: unknown): boolean {
  return a === b || display(a) === display(b);
}

export function registerLibrary(env: Environment): Environment {
  const add = (signature: string, handler: (...values: never[]) => unknown) =>
    env.registerFunction(signature, handler as (...values: unknown[]) => unknown);

  add('list<dyn>.sum(): dyn', sum);
  add('list<dyn>.min(): dyn', (list: unknown[]) => extreme(list, 'min', less));
  add('list<dyn>.max(): dyn', (list: unknown[]) => extreme(list, 'max', (a, b) => less(b, a)));
  add('list<dyn>.isSorted(): bool', (list: unknown[]) =>
    list.every((each, index) => index === 0 || !less(each, list[index - 1])),
  );
  add('list<dyn>.indexOf(dyn): int', (list: unknown[], value: unknown) =>
    BigInt(list.findIndex((each) => same(each, value))),
  );
  add('list<dyn>.lastIndexOf(dyn): int', (list: unknown[], value: unknown) =>
    BigInt(list.findLastIndex((each) => same(each, value))),
  );
  add('list<dyn>.slice(int, int): list<dyn>', (list: unknown[], from: bigint, to: bigint) =>
    list.slice(Number(from), Number(to)),
  );
  add('list<dyn>.distinct(): list<dyn>', (list: unknown[]) =>
    list.filter((each, index) => list.findIndex((other) => same(each, other)) === index),
  );
  add('list<dyn>.reverse(): list<dyn>', (list: unknown[]) => list.toReversed());
  add('list<dyn>.flatten(): list<dyn>', (list: unknown[]) => list.flat());
  add('list<dyn>.sort(): list<dyn>', (list: unknown[]) =>
    list.toSorted((a, b) => (less(a, b) ? -1 : less(b, a) ? 1 : 0)),
  );

  add('string.re2(string): bool', (text: string, pattern: string) =>
    compilePattern(pattern).matcher(text).find(),
  );
  add('re2(string, string): bool', (text: string, pattern: string) =>
    compilePattern(pattern).matcher(text).find(),
  );
  add('string.find(string): string', (text: string, pattern: string) => {
    const matcher = compilePattern(pattern).matcher(text);
    return matcher.find() ? (matcher.group() ?? '') : '';
  });
  add('string.findAll(string): list<string>', (text: string, pattern: string) => findAll(text, pattern, -1));
  add('string.findAll(string, int): list<string>', (text: string, pattern: string, most: bigint) =>
    findAll(text, pattern, Number(most)),
  );
  add('string.replace(string, string): string', (text: string, from: string, to: string) =>
    text.split(from).join(to),
  );
  add(
    'string.replace(string, string, int): string',
    (text: string, from: string, to: string, times: bigint) => {
      const parts = text.split(from);
      const limit = times < 0n ? parts.length : Number(times);
      return parts.reduce((built, part, index) => built + (index <= limit ? to : from) + part);
    },
  );
  add('string.charAt(int): string', (text: string, index: bigint) => [...text][Number(index)] ?? '');
  add('string.reverse(): string', (text: string) => [...text].reverse().join(''));
  add('string.format(list<dyn>): string', formatText);
  class Strings {}
  env.registerType('kubernetes.Strings', Strings);
  env.registerConstant('strings', 'kubernetes.Strings', new Strings());
  add('kubernetes.Strings.quote(string): string', (_: unknown, text: string) => JSON.stringify(text));

  env.registerType('kubernetes.URL', Url);
  add('isURL(string): bool', isUrl);
  add('url(string): kubernetes.URL', (text: string) => {
    if (!isUrl(text))
      throw new Error(
        `URL parse error during conversion from string: parse ${JSON.stringify(text)}: invalid URI for request`,
      );
    return new Url(parseUrl(text));
  });
  add('kubernetes.URL.getScheme(): string', ({ url }: Url) =>
    url.protocol === 'relative:' ? '' : url.protocol.slice(0, -1),
  );
  add('kubernetes.URL.getHost(): string', ({ url }: Url) => url.host);
  add('kubernetes.URL.getHostname(): string', ({ url }: Url) => url.hostname.replace(/^\[|\]$/g, ''));
  add('kubernetes.URL.getPort(): string', ({ url }: Url) => url.port);
  add('kubernetes.URL.getEscapedPath(): string', ({ url }: Url) => url.pathname);
  add('kubernetes.URL.getQuery(): map<string, list<string>>', ({ url }: Url) => {
    const query: Record<string, string[]> = {};
    for (const key of new Set(url.searchParams.keys())) query[key] = url.searchParams.getAll(key);
    return query;
  });

  env.registerType('kubernetes.Quantity', Quantity);
  add('isQuantity(string): bool', (text: string) => parseQuantity(text) !== undefined);
  add('quantity(string): kubernetes.Quantity', quantity);
  const compareQuantities: Record<string, (a: bigint, b: bigint) => unknown> = {
    'isGreaterThan(kubernetes.Quantity): bool': (a, b) => a > b,
    'isLessThan(kubernetes.Quantity): bool': (a, b) => a < b,
    'compareTo(kubernetes.Quantity): int': (a, b) => (a < b ? -1n : a > b ? 1n : 0n),
    'add(kubernetes.Quantity): kubernetes.Quantity': (a, b) => new Quantity(a + b),
    'sub(kubernetes.Quantity): kubernetes.Quantity': (a, b) => new Quantity(a - b),
  };
  for (const [name, compute] of Object.entries(compareQuantities)) {
    add(`kubernetes.Quantity.${name}`, (a: Quantity, b: Quantity) => compute(a.value, b.value));
  }
  add(
    'kubernetes.Quantity.add(int): kubernetes.Quantity',
    (a: Quantity, b: bigint) => new Quantity(a.value + b * unit),
  );
  add(
    'kubernetes.Quantity.sub(int): kubernetes.Quantity',
    (a: Quantity, b: bigint) => new Quantity(a.value - b * unit),
  );
  add('kubernetes.Quantity.sign(): int', (a: Quantity) => (a.value < 0n ? -1n : a.value > 0n ? 1n : 0n));
  add('kubernetes.Quantity.isInteger(): bool', (a: Quantity) => a.value % unit === 0n);
  add('kubernetes.Quantity.asInteger(): int', (a: Quantity) => {
    if (a.value % unit !== 0n) throw new Error('cannot convert value to integer');
    return a.value / unit;
  });
  add('kubernetes.Quantity.asApproximateFloat(): double', (a: Quantity) => Number(a.value) / Number(unit));

  env.registerType('net.IP', Ip);
  env.registerType('net.CIDR', Cidr);
  add('isIP(string): bool', (text: string) => isIP(text) !== 0);
  add('ip(string): net.IP', (text: string) => {
    if (isIP(text) === 0)
      throw new Error(`IP Address ${JSON.stringify(text)} parse error during conversion from string`);
    return new Ip(text);
  });
  class IpLibrary {}
  env.registerType('net.IPLibrary', IpLibrary);
  env.registerConstant('ip', 'net.IPLibrary', new IpLibrary());
  add(
    'net.IPLibrary.isCanonical(string): bool',
    (_: unknown, text: string) => isIPv4(text) || new URL(`http://[${text}]/`).hostname === `[${text}]`,
  );
  add('net.IP.family(): int', ({ text }: Ip) => BigInt(isIP(text)));
  add('net.IP.isLoopback(): bool', ({ text }: Ip) => text.startsWith('127.') || text === '::1');
  add('net.IP.isUnspecified(): bool', ({ text }: Ip) => ipBits(text) === 0n);
  add(
    'net.IP.isLinkLocalUnicast(): bool',
    ({ text }: Ip) => text.startsWith('169.254.') || /^fe[89ab]/i.test(text),
  );
  add(
    'net.IP.isLinkLocalMulticast(): bool',
    ({ text }: Ip) => text.startsWith('224.0.0.') || /^ff.2:/i.test(text),
  );
  add('net.IP.isGlobalUnicast(): bool', ({ text }: Ip) => isGlobalUnicast(text));
  add('string(net.IP): string', ({ text }: Ip) => text);
  add('isCIDR(string): bool', isCidr);
  add('cidr(string): net.CIDR', (text: string) => {
    if (!isCidr(text))
      throw new Error(`network address parse error during conversion from string: ${JSON.stringify(text)}`);
    return new Cidr(text);
  });
  add('net.CIDR.containsIP(string): bool', (cidr: Cidr, text: string) => contains(cidr, text));
  add('net.CIDR.containsIP(net.IP): bool', (cidr: Cidr, ip: Ip) => contains(cidr, ip.text));
  add('net.CIDR.containsCIDR(string): bool', (cidr: Cidr, text: string) =>
    containsCidr(cidr, new Cidr(text)),
  );
  add('net.CIDR.containsCIDR(net.CIDR): bool', containsCidr);
  add('net.CIDR.ip(): net.IP', ({ address }: Cidr) => new Ip(address));
  add('net.CIDR.prefixLength(): int', ({ bits }: Cidr) => BigInt(bits));
  add('string(net.CIDR): string', ({ address, bits }: Cidr) => `${address}/${bits}`);

  env.registerType('kubernetes.NamedFormat', Format);
  env.registerType('kubernetes.Formats', FormatLibrary);
  env.registerConstant('format', 'kubernetes.Formats', new FormatLibrary());
  for (const [name, check] of Object.entries(namedFormats)) {
    add(`kubernetes.Formats.${name}(): kubernetes.NamedFormat`, () => new Format(check));
  }
  add('kubernetes.Formats.named(string): optional<kubernetes.NamedFormat>', (_: unknown, name: string) => {
    const check = namedFormats[name];
    return check ? Optional.of(new Format(check)) : Optional.none();
  });
  add(
    'kubernetes.NamedFormat.validate(string): optional<list<string>>',
    ({ check }: Format, text: string) => {
      const why = check(text);
      return why.length > 0 ? Optional.of(why) : Optional.none();
    },
  );

  class Sets {}
  env.registerType('kubernetes.Sets', Sets);
  env.registerConstant('sets', 'kubernetes.Sets', new Sets());
  const within = (list: unknown[], value: unknown) => list.some((each) => same(each, value));
  add('kubernetes.Sets.contains(list<dyn>, list<dyn>): bool', (_: unknown, a: unknown[], b: unknown[]) =>
    b.every((each) => within(a, each)),
  );
  add('kubernetes.Sets.intersects(list<dyn>, list<dyn>): bool', (_: unknown, a: unknown[], b: unknown[]) =>
    b.some((each) => within(a, each)),
  );
  add(
    'kubernetes.Sets.equivalent(list<dyn>, list<dyn>): bool',
    (_: unknown, a: unknown[], b: unknown[]) =>
      a.every((each) => within(b, each)) && b.every((each) => within(a, each)),
  );
  return env;
}

function findAll(text: string, pattern: string, most: number): string[] {
  const matcher = compilePattern(pattern).matcher(text);
  const found: string[] = [];
  while ((most < 0 || found.length < most) && matcher.find()) found.push(matcher.group() ?? '');
  return found;
}

function containsCidr(outer: Cidr, inner: Cidr): boolean {
  return outer.bits <= inner.bits && contains(outer, inner.address);
}

function isGlobalUnicast(text: string): boolean {
  if (ipBits(text) === 0n || text === '255.255.255.255' || text.startsWith('127.') || text === '::1')
    return false;
  if (text.startsWith('169.254.') || /^(fe[89ab]|ff)/i.test(text)) return false;
  return (
    !(isIPv4(text) && Number(text.split('.')[0]) >= 224 && Number(text.split('.')[0]) < 240) || isIPv6(text)
  );
}
