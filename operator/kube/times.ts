/** Milliseconds since the epoch as Kubernetes' MicroTime: RFC 3339 with exactly six decimals. */
export function microTime(ms: number): string {
  return new Date(ms).toISOString().replace(/(\.\d{3})Z$/, '$1000Z');
}
