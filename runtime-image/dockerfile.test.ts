import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { nodeFlags } from '#contract';

it('the image starts Node, and compiles for it, with the flags of the contract', () => {
  const dockerfile = readFileSync(new URL('./Dockerfile', import.meta.url), 'utf8');
  const words = ['node', ...nodeFlags, '/app/runtime-image/main.ts'].map((word) => JSON.stringify(word));
  assert.ok(dockerfile.includes(`ENTRYPOINT [${words.join(', ')}]`));
  assert.ok(dockerfile.includes(`RUN node ${nodeFlags.join(' ')} --input-type=module`));
});
