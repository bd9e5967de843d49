/** Texts in table cells. */

/** How long ago, in kubectl's words: `45s`, `3m12s`, `5h30m`, `2d`. */
export function age(since: string | undefined, now: number): string {
  if (!since) return '<unknown>';
  const then = Date.parse(since);
  return Number.isNaN(then) ? '<invalid>' : duration(Math.floor((now - then) / 1000));
}

/** @param total whole seconds */
export function duration(total: number): string {
  if (total < -1) return '<invalid>';
  if (total < 0) return '0s';
  if (total < 120) return `${total}s`;
  const minutes = Math.floor(total / 60);
  if (minutes < 10) return total % 60 === 0 ? `${minutes}m` : `${minutes}m${total % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(total / 3600);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  if (days < 365 * 2) return `${days}d`;
  const years = Math.floor(days / 365);
  if (days < 365 * 8) return days % 365 === 0 ? `${years}y` : `${years}y${days % 365}d`;
  return `${years}y`;
}
