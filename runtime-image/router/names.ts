/** What may be written into a HAProxy file or command. Everything that users name is checked here first. */
import { isIP } from 'node:net';

/** Label-safe text: the characters that Kubernetes allows in a label's value. */
const label = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;

/** True for a version that can be a map's key and value, and a header's value. */
export function isVersion(text: unknown): text is string {
  return typeof text === 'string' && label.test(text);
}

/** True for a port that a socket can have. */
export function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) < 65_536;
}

/** True for a number of requests at the same time. */
export function isLimit(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) < 10_000_000;
}

/** True for an address literal without a zone. */
export function isAddress(text: unknown): text is string {
  return typeof text === 'string' && isIP(text) !== 0 && !text.includes('%');
}

/** `address:port` as HAProxy writes it; IPv6 needs no brackets there, since the last colon is the port's. */
export function socketAddress(address: string, port: number): string {
  return isIP(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Name of a server: its socket address, in the characters that HAProxy allows in names. */
export function serverName(address: string, port: number): string {
  return `${address}_${port}`;
}
