/** Which room may import which. A room is a folder; the rules are those of the design, in one table. */

export interface Import {
  /** As written: `./x.ts`, `#contract`, `node:fs`, `undici`. */
  readonly specifier: string;
  /** Whether only types are imported, which leaves nothing at run time. */
  readonly typesOnly: boolean;
  readonly line: number;
}

interface Rule {
  /** What the room may import of other rooms: folders or single files. Its own files are always allowed. */
  readonly allowed: readonly string[];
  /** The same, but only as types. */
  readonly types?: readonly string[];
  readonly packages?: 'none';
}

const contract = 'runtime-image/contract.ts';

/** The deepest folder or file that a path lies in decides. */
export const rules: Readonly<Record<string, Rule>> = {
  'kube-client': { allowed: [] },
  'operator/api': { allowed: [], types: [contract], packages: 'none' },
  'operator/decide': { allowed: ['operator/api', contract] },
  'operator/resources': { allowed: ['operator/api', contract] },
  'operator/engine': { allowed: [], packages: 'none' },
  'operator/kube': {
    allowed: ['operator/api', 'operator/engine', 'operator/reconcile/ports.ts', 'kube-client', contract],
  },
  'operator/reconcile': {
    allowed: ['operator/decide', 'operator/resources', 'operator/api', contract],
    types: ['operator/engine'],
  },
  'operator/simulate': {
    allowed: [
      'operator/api',
      'operator/decide',
      'operator/reconcile/evidence-book.ts',
      'operator/kube/router-ledger.ts',
    ],
    types: ['operator/kube/router-report.ts'],
  },
  'operator/telemetry': { allowed: ['operator/api'], types: ['operator/engine'] },
  'operator/cli': { allowed: ['operator/api', 'kube-client'] },
  operator: {
    allowed: [
      'operator/api',
      'operator/decide',
      'operator/resources',
      'operator/engine',
      'operator/kube',
      'operator/reconcile',
      'operator/telemetry',
      'kube-client',
      contract,
    ],
  },
  [contract]: { allowed: [], packages: 'none' },
  'runtime-image': { allowed: [contract] },
  'runtime-image/router': { allowed: ['runtime-image', 'kube-client'] },
  e2e: { allowed: ['kube-client', contract], types: ['operator/api'] },
  'e2e/bench': {
    allowed: [
      'kube-client',
      contract,
      'e2e/cluster',
      'e2e/demo',
      'e2e/scenarios/harness',
      'e2e/tools',
      'runtime-image/testing',
      'runtime-image/router/testing',
    ],
    types: ['operator/api'],
  },
  'e2e/network': { allowed: ['e2e/cluster/assets/network.ts', 'runtime-image/router/testing'] },
  scripts: { allowed: [] },
};

/** The room that a file, given from the root, belongs to. */
export function roomOf(file: string): string | undefined {
  return Object.keys(rules)
    .filter((room) => within(file, room))
    .sort((a, b) => b.length - a.length)[0];
}

/**
 * Why `file` may not import `target`, or nothing when it may.
 * @param target path from the root, or a package's name.
 */
export function objection(file: string, target: string, found: Import): string | undefined {
  const room = roomOf(file);
  const at = `${file}:${found.line}`;
  if (room === undefined) return `${at}: the folder is no room; add it to scripts/import-rules.ts`;
  const rule = rules[room]!;
  if (!found.specifier.startsWith('.') && !found.specifier.startsWith('#')) {
    if (rule.packages !== 'none' || found.specifier.startsWith('node:') || found.typesOnly) return undefined;
    if (file.endsWith('.test.ts')) return undefined;
    return `${at}: ${room} imports no package, so not ${found.specifier}`;
  }
  if (roomOf(target) === room || rule.allowed.some((allowed) => within(target, allowed))) return undefined;
  const asTypes = rule.types ?? [];
  if (asTypes.some((allowed) => within(target, allowed))) {
    return found.typesOnly ? undefined : `${at}: ${room} may import ${target} only with \`import type\``;
  }
  const list = [...rule.allowed, ...asTypes.map((allowed) => `${allowed} (types only)`)];
  return `${at}: ${room} may not import ${target}; allowed: ${list.length === 0 ? 'nothing of other rooms' : list.join(', ')}`;
}

function within(path: string, folderOrFile: string): boolean {
  return path === folderOrFile || path.startsWith(`${folderOrFile}/`);
}

const statement =
  /(?:^|[\n;])[ \t]*(?:import|export)\s+(type\s)?([^'"`;]*?)\bfrom\s*['"]([^'"\n]+)['"]|(?:^|[\n;])[ \t]*import\s*['"]([^'"\n]+)['"]|\bimport\(\s*['"]([^'"\n]+)['"]\s*\)(\s*\.\s*[A-Z])?/g;

/** All imports and re-exports of a source text. */
export function importsOf(source: string): Import[] {
  return [...source.matchAll(statement)].map((match) => {
    const [text, type, names, from, bare, dynamic, member] = match;
    const start = match.index + (text.length - text.trimStart().length);
    return {
      specifier: (from ?? bare ?? dynamic)!,
      // `import('x').Name` is a type; the value would have to be awaited first.
      typesOnly: type !== undefined || member !== undefined || (names !== undefined && onlyTypes(names)),
      line: source.slice(0, start).split('\n').length,
    };
  });
}

function onlyTypes(names: string): boolean {
  const list = /^\s*\{([^}]*)\}\s*$/.exec(names)?.[1];
  if (list === undefined) return false;
  const items = list.split(',').map((name) => name.trim());
  return items.filter((name) => name !== '').every((name) => name.startsWith('type '));
}
