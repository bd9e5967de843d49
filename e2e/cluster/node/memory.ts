/** How much memory process groups hold, from /proc. */
import { readdir, readFile } from 'node:fs/promises';

const pageSize = 4096;

/**
 * Bytes of anonymous memory per process group, for the groups asked for. File pages are left out: a memory limit makes
 * the kernel drop those before it kills anybody.
 */
export async function memoryOfGroups(groups: ReadonlySet<number>): Promise<Map<number, number>> {
  const result = new Map<number, number>();
  if (groups.size === 0) return result;
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = await readFile(`/proc/${name}/stat`, 'latin1');
      // The program's name, in parentheses, may hold anything.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const group = Number(fields[2]);
      if (!groups.has(group)) continue;
      const [, resident = 0, shared = 0] = (await readFile(`/proc/${name}/statm`, 'latin1'))
        .split(' ')
        .map(Number);
      result.set(group, (result.get(group) ?? 0) + Math.max(0, resident - shared) * pageSize);
    } catch {
      // It ended meanwhile.
    }
  }
  return result;
}
