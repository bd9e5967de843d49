/** `npm run imports`: fails when a file imports what its room must not. The rules are in `import-rules.ts`. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { importsOf, objection } from './import-rules.ts';

const root = join(import.meta.dirname, '..');
const { imports: aliases } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  imports: Record<string, string>;
};

const objections: string[] = [];
const files = globSync('{kube-client,operator,runtime-image,e2e,scripts}/**/*.ts', {
  cwd: root,
  // The tests of this check hold imports in strings.
  exclude: ['**/node_modules', 'scripts/*.test.ts'],
});
for (const file of files.sort()) {
  for (const found of importsOf(readFileSync(join(root, file), 'utf8'))) {
    const alias = aliases[found.specifier];
    let target = found.specifier;
    if (alias !== undefined) target = normalize(alias);
    else if (target.startsWith('.')) target = normalize(join(dirname(file), target));
    if (target.startsWith('..'))
      objections.push(`${file}:${found.line}: ${found.specifier} lies outside of the repository`);
    else if (/^[.#]/.test(found.specifier) && !existsSync(join(root, target))) {
      objections.push(`${file}:${found.line}: ${found.specifier} does not exist`);
    } else {
      const reason = objection(file, target, found);
      if (reason !== undefined) objections.push(reason);
    }
  }
}

for (const reason of objections) console.error(reason);
if (objections.length > 0) process.exitCode = 1;
else console.log(`${files.length} files import only what their rooms may`);
