/**
 * `npm run verify`: generate, format, lint, types, imports, unit tests, and then a tree without surprises.
 *
 * It fails when generating changed a tracked file; in CI (`CI` is set) when anything at all is not committed.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** State of the tree as `git status` lines. */
function tree(): string[] {
  const out = execFileSync('git', ['status', '--porcelain', '--untracked-files=all'], {
    cwd: root,
    encoding: 'utf8',
  });
  return out.split('\n').filter((line) => line !== '');
}

/** Paths that `scripts/generate.ts` owns, with their content as git sees it. */
function generated(): string {
  const folders = ['operator/api/generated', 'charts/sluice/crds'];
  return execFileSync('git', ['diff', 'HEAD', '--', ...folders], { cwd: root, encoding: 'utf8' });
}

function run(script: string): void {
  console.log(`\n▸ ${script}`);
  const started = performance.now();
  const { status } = spawnSync('npm', ['run', '--silent', script], { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    console.error(`✗ npm run ${script} failed`);
    process.exit(1);
  }
  console.log(`  ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

const before = generated();
run('generate');
const changed = generated() !== before;
for (const script of ['lint', 'types', 'imports', 'test:unit']) run(script);

if (changed) {
  console.error('✗ `npm run generate` changed tracked files: commit them');
  process.exit(1);
}
const dirty = tree();
if (process.env['CI'] && dirty.length > 0) {
  console.error(`✗ the tree is dirty:\n${dirty.join('\n')}`);
  process.exit(1);
}
console.log(`\n✓ verified${dirty.length > 0 ? ` (${dirty.length} paths are not committed)` : ''}`);
