import semver from 'semver';

/** What the order of versions depends on. */
export interface Orderable {
  readonly version: string;
  /** metadata.creationTimestamp, RFC 3339. */
  readonly createdAt: string;
}

const parsed = (version: string): semver.SemVer | null =>
  semver.parse(version) ?? semver.parse(padded(version));

/** `6` and `6.1` are common short forms; `v6` is read by semver itself. */
function padded(version: string): string {
  const short = /^v?(\d+)(?:\.(\d+))?$/.exec(version);
  return short === null ? version : `${short[1]}.${short[2] ?? 0}.0`;
}

/**
 * Newest last: semantic versions by their precedence, above everything that is none; then by creation; then by
 * name, so that the order is total.
 */
export function compareVersions(a: Orderable, b: Orderable): number {
  const [left, right] = [parsed(a.version), parsed(b.version)];
  if (left !== null && right !== null) {
    const precedence = semver.compare(left, right);
    if (precedence !== 0) return precedence;
  } else if (left !== null || right !== null) {
    return left === null ? -1 : 1;
  }
  return compareText(a.createdAt, b.createdAt) || compareText(a.version, b.version);
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
