import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { argumentToHost, expand, toHost } from './expansion.ts';

describe('expand', () => {
  const lookup = (name: string) => ({ A: '1', B: '$(A)', EMPTY: '' })[name];
  const table: [string, string][] = [
    ['plain', 'plain'],
    ['$(A)', '1'],
    ['x$(A)y$(A)z', 'x1y1z'],
    ['$(NOBODY)', '$(NOBODY)'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$1'],
    ['$(B)', '$(A)'],
    ['[$(EMPTY)]', '[]'],
    ['$A $ $( $(', '$A $ $( $('],
    ['$(A', '$(A'],
  ];
  for (const [text, expected] of table) {
    it(`${text} → ${expected}`, () => assert.equal(expand(text, lookup), expected));
  }

  it('leaves text without dollars alone', () => {
    fc.assert(
      fc.property(
        fc.string().filter((text) => !text.includes('$')),
        (text) => expand(text, () => 'x') === text,
      ),
    );
  });
});

describe('toHost', () => {
  const mounts = [
    { mountPath: '/data', hostPath: '/h/data' },
    { mountPath: '/data/deep/', hostPath: '/h/deep' },
    { mountPath: '/', hostPath: '/h/root' },
  ];
  const table: [string, string][] = [
    ['/data', '/h/data'],
    ['/data/x', '/h/data/x'],
    ['/database', '/database'],
    ['/data/deep', '/h/deep'],
    ['/data/deep/x', '/h/deep/x'],
    ['/data/deeper', '/h/data/deeper'],
    ['data', 'data'],
    ['see /data', 'see /data'],
    ['', ''],
  ];
  for (const [value, expected] of table) {
    it(`${JSON.stringify(value)} → ${expected}`, () => assert.equal(toHost(value, mounts), expected));
  }

  it('finds the path in a flag', () => {
    assert.equal(argumentToHost('--dir=/data/x', mounts), '--dir=/h/data/x');
    assert.equal(argumentToHost('-d=/data', mounts), '-d=/h/data');
    assert.equal(argumentToHost('--url=http://x/data', mounts), '--url=http://x/data');
    assert.equal(argumentToHost('/data', mounts), '/h/data');
  });
});
