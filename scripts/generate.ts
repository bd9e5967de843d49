/**
 * `npm run generate`: everything in the repository that follows from something else.
 *
 * - `operator/api/generated/<kind>.ts` from `crds/*.yaml`
 * - `charts/sluice/crds/` equal to `crds/`
 *
 * With `--check` it writes nothing and fails when something is out of date.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import { type Crd, fileNameOf, typesOf } from './types-of-crd.ts';

const root = join(import.meta.dirname, '..');

/** Content by path from the root, for the folders that this script owns entirely. */
function desired(): Map<string, string> {
  const files = new Map<string, string>();
  for (const name of listed('crds').filter((file) => file.endsWith('.yaml'))) {
    const text = readFileSync(join(root, 'crds', name), 'utf8');
    const crd = parse(text) as Crd;
    files.set(`operator/api/generated/${fileNameOf(crd.spec.names.kind)}.ts`, typesOf(crd, `crds/${name}`));
    files.set(`charts/sluice/crds/${name}`, text);
  }
  return files;
}

function listed(folder: string): string[] {
  try {
    return readdirSync(join(root, folder)).sort();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

function main(check: boolean): void {
  const files = desired();
  const stale = [...files].filter(([path, content]) => {
    if (!listed(join(path, '..')).includes(basename(path))) return true;
    return readFileSync(join(root, path), 'utf8') !== content;
  });
  const extra = ['operator/api/generated', 'charts/sluice/crds'].flatMap((folder) =>
    listed(folder)
      .map((name) => `${folder}/${name}`)
      .filter((path) => !files.has(path)),
  );
  for (const [path, content] of check ? [] : stale) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  for (const path of check ? [] : extra) rmSync(join(root, path));
  for (const path of [...stale.map(([path]) => path), ...extra]) {
    console.log(`${check ? 'out of date' : files.has(path) ? 'written' : 'removed'}: ${path}`);
  }
  if (check && stale.length + extra.length > 0) {
    console.error('run `npm run generate` and commit what it changes');
    process.exitCode = 1;
  }
}

main(process.argv.includes('--check'));
