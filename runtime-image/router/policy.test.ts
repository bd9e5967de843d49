import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { renderConfig } from './config.ts';
import { renderMaps } from './maps.ts';
import { plan } from './plan.ts';
import { admitPolicy, type Policy, saltOf } from './policy.ts';
import { emptyState, type State } from './state.ts';
import { arbitraryPolicy, hostileNames } from './testing/arbitrary.ts';
import { findHaproxy } from './testing/haproxy.ts';

const limits = { bind: '127.0.0.1', threads: 1, descriptors: 16_000, hardStopAfter: 5 };

function stateWith(...policies: readonly Policy[]): State {
  const models = policies.map((policy, index) => ({
    name: `m${index}`,
    uid: `u${index}`,
    port: 10_000 + index * 2,
    generation: 1,
    traffic: [{ version: '1.0.0', weight: 100 }],
    policy,
  }));
  return plan({ models, endpoints: [] }, emptyState, { slots: new Set(), places: new Set() }).state;
}

/** Only what this Model's policy adds. */
const ownLines = (state: State) => {
  const plain = new Set(renderConfig(stateWith({}), limits).split('\n'));
  return renderConfig(state, limits)
    .split('\n')
    .filter((line) => !plain.has(line));
};

describe('a policy', () => {
  it('that asks for nothing adds nothing', () => {
    assert.equal(renderConfig(stateWith({}), limits), renderConfig(stateWith({ routes: [] }), limits));
  });

  for (const [what, policy, problem] of [
    ['a header of the router', { sticky: { header: 'Sluice-Version' } }, /^sticky: "Sluice-Version"/],
    ['a cookie with a space', { sticky: { cookie: 'a b' } }, /^sticky: "a b"/],
    ['a route of nothing', { routes: [{ headers: [], version: '1' }] }, /^routes\[0\]/],
    ['a route without a path', { routes: [{ headers: [], prefix: 'a', version: '1' }] }, /^routes\[0\]/],
    ['a route to no version', { routes: [{ headers: [], prefix: '/', version: 'a b' }] }, /^routes\[0\]/],
    [
      'a route with an endless value',
      { routes: [{ headers: [{ name: 'a', value: 'x'.repeat(257) }], version: '1' }] },
      /^routes\[0\]/,
    ],
  ] as const) {
    it(`is admitted without ${what}`, () => {
      const { policy: admitted, problems } = admitPolicy(policy);
      assert.deepEqual(admitted, {});
      assert.match(problems.join(), problem);
    });
  }

  it('keeps the frontends of the others where they are', () => {
    const text = renderConfig(stateWith({}, { pinning: 'disabled' }, {}, { pinning: 'disabled' }), limits);
    assert.deepEqual(
      [...text.matchAll(/^ {2}bind 127\S+/gm)].map(([line]) => line.trim().split(':')[1]),
      ['10000-10001', '10003-10005', '10007-10499', '10002', '10006'],
    );
  });

  it('never brings the text of a user into the configuration', () => {
    const hostile = hostileNames.filter((name) => name.length > 1 && !/^[\w.-]+$/.test(name));
    fc.assert(
      fc.property(arbitraryPolicy, (policy) => {
        for (const line of ownLines(stateWith(policy))) {
          assert.match(line, /^[\x20-\x7e]*$/);
          assert.ok(line.length < 2000, 'HAProxy takes lines of 2 KiB');
          const user = line.replace(/"[^"]*"$|json string '.*'/g, '');
          for (const name of hostile) assert.ok(!user.includes(name), `${name} in ${line}`);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('has buckets of its own for each model', () => {
    assert.equal(saltOf('vad'), saltOf('vad'));
    assert.notEqual(saltOf('vad'), saltOf('vae'));
  });
});

describe('any policy', () => {
  let folder: string;
  let haproxy: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-policy-'));
    haproxy = await findHaproxy();
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('is one that HAProxy takes', async () => {
    const check = async (state: State) => {
      for (const [name, text] of Object.entries({
        ...renderMaps(state),
        'samples.lst': '0:1\n',
        'rates.lst': '0:1\n',
        'haproxy.cfg': renderConfig({ ...state, pool: 2 }, limits),
      }))
        await writeFile(join(folder, name), text);
      const found = await promisify(execFile)(haproxy, ['-c', '-q', '-f', 'haproxy.cfg'], {
        cwd: folder,
      }).then(
        ({ stderr }) => stderr,
        (error: { stderr: string }) => error.stderr,
      );
      assert.doesNotMatch(found, /ALERT|parsing/, found);
    };
    const policies = fc.sample(arbitraryPolicy, { numRuns: 120, seed: 7 });
    for (let at = 0; at < policies.length; at += 40) await check(stateWith(...policies.slice(at, at + 40)));
    const value = '\u{1F6B0}'.repeat(64);
    const headers = Array.from({ length: 8 }, (_, index) => ({ name: `h${index}${'x'.repeat(60)}`, value }));
    const route = { headers, prefix: `/${'y'.repeat(255)}`, version: 'v'.repeat(63) };
    await check(
      stateWith({
        sticky: { cookie: 'c'.repeat(64) },
        routes: Array.from({ length: 16 }, () => route),
        timeouts: { responseMs: 86_400_000, idleMs: 1 },
      }),
    );
  });
});
