/** How much memory process groups hold, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

const pageSize = 4096;

/**
 * Bytes of anonymous memory per process group, for the groups asked for. File pages are left out: a memory limit makes
 * the kernel drop those before it kills anybody. Synchronous, because a read of /proc takes microseconds and its detour
 * through the thread pool many times that.
 */
export function memoryOfGroups(groups: ReadonlySet<number>): Map<number, number> {
  const result = new Map<number, number>();
  if (groups.size === 0) return result;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      // The program's name, in parentheses, may hold anything.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const group = Number(fields[2]);
      if (!groups.has(group)) continue;
      const [, resident = 0, shared = 0] = readFileSync(`/proc/${name}/statm`, 'latin1')
        .split(' ')
        .map(Number);
      result.set(group, (result.get(group) ?? 0) + Math.max(0, resident - shared) * pageSize);
    } catch {
      // It ended meanwhile.
    }
  }
  return result;
}
