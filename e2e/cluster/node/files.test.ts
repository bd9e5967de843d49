import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { writeFiles } from './atomic-files.ts';
import { ContainerLog } from './container-log.ts';
import { podObject } from './fake-api.ts';
import { type LogQuery, readLog } from './log-reader.ts';
import { realClock } from './ports.ts';
import { volumeFiles } from './volume-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'sn-'));
after(() => rmSync(folder, { recursive: true }));
const file = (text: string, mode = 0o644) => ({ content: Buffer.from(text), mode });

describe('writeFiles', () => {
  it('replaces all files in one step, and removes what is gone', async () => {
    const path = join(folder, 'volume');
    await writeFiles(
      path,
      new Map([
        ['a', file('1', 0o600)],
        ['dir/b', file('2')],
        ['gone', file('3')],
      ]),
    );
    assert.equal(readFileSync(join(path, 'dir/b'), 'utf8'), '2');
    assert.equal(statSync(join(path, 'a')).mode & 0o777, 0o600);
    await writeFiles(
      path,
      new Map([
        ['a', file('1b')],
        ['dir/b', file('2b')],
        ['dir/c', file('4')],
      ]),
    );
    assert.equal(readFileSync(join(path, 'a'), 'utf8'), '1b');
    assert.equal(readFileSync(join(path, 'dir/c'), 'utf8'), '4');
    assert.deepEqual(
      readdirSync(path)
        .filter((name) => !name.startsWith('..'))
        .sort(),
      ['a', 'dir'],
    );
    assert.equal(readdirSync(path).length, 4, 'no leftovers of earlier content');
  });

  it('writes nothing outside', async () => {
    for (const path of ['../x', '/x', 'a/../../x', '..x', '']) {
      await assert.rejects(writeFiles(join(folder, 'safe'), new Map([[path, file('')]])), RangeError, path);
    }
  });
});

describe('volumeFiles', () => {
  const pod = podObject(
    'p',
    { containers: [{ name: 'c', resources: { limits: { cpu: '2' } } }] },
    { labels: { b: '2', a: 'x"y' } },
  );
  let tokens = 0;
  const at = { now: 0 };
  const sources = {
    pod,
    place: { podAddress: '10.1.0.1', hostAddress: '10.0.0.1', allocatable: {} },
    lookups: {
      configMap: async (name: string) =>
        name === 'm'
          ? {
              apiVersion: 'v1',
              kind: 'ConfigMap',
              metadata: {},
              data: { k: 'v' },
              binaryData: { bin: 'AAE=' },
            }
          : undefined,
      secret: async () => undefined,
    },
    tokens: async () => ({ token: `t${++tokens}`, renewAt: at.now + 100 }),
    now: () => at.now,
  };
  const texts = async (...projections: Parameters<typeof volumeFiles>[0]) =>
    Object.fromEntries(
      [...(await volumeFiles(projections, 0o644, sources, new Map()))].map(([path, { content }]) => [
        path,
        content.toString('latin1'),
      ]),
    );

  it('holds keys, chosen keys and what the pod may know', async () => {
    assert.deepEqual(await texts({ configMap: { name: 'm' } }), { k: 'v', bin: '\0\x01' });
    assert.deepEqual(await texts({ configMap: { name: 'm', items: [{ key: 'k', path: 'x/y' }] } }), {
      'x/y': 'v',
    });
    const items = [
      { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
      { path: 'cpu', resourceFieldRef: { containerName: 'c', resource: 'limits.cpu' } },
    ];
    assert.deepEqual(await texts({ downwardAPI: { items } }), { labels: 'a="x\\"y"\nb="2"', cpu: '2' });
  });

  it('says what is missing, unless it is optional', async () => {
    await assert.rejects(texts({ secret: { name: 's' } }), { message: 'secret "s" not found' });
    await assert.rejects(texts({ configMap: { name: 'm', items: [{ key: 'no', path: 'x' }] } }), {
      message: 'configmap references non-existent config key: no',
    });
    assert.deepEqual(await texts({ secret: { name: 's', optional: true } }), {});
  });

  it('asks for a token again only when it is time', async () => {
    const cache = new Map();
    const projections = [{ serviceAccountToken: { path: 'token' } }];
    const read = async () =>
      (await volumeFiles(projections, 0o644, sources, cache)).get('token')?.content.toString();
    const first = await read();
    at.now = 99;
    assert.equal(await read(), first);
    at.now = 100;
    assert.notEqual(await read(), first);
  });
});

describe('logs', () => {
  async function collect(path: string, query: LogQuery, log?: ContainerLog): Promise<string> {
    let text = '';
    for await (const part of readLog(path, query, log, new AbortController().signal)) text += part;
    return text;
  }

  it('keep lines, parts of lines and characters whole', async () => {
    const log = new ContainerLog(join(folder, 'a.log'), realClock);
    const umlaut = Buffer.from('ü');
    log.write('stdout', Buffer.concat([Buffer.from('one\ntw'), umlaut.subarray(0, 1)]));
    log.write('stderr', Buffer.from('error\n'));
    log.write('stdout', Buffer.concat([umlaut.subarray(1), Buffer.from('\nlast')]));
    log.close();
    assert.equal(await collect(log.path, {}), 'one\nerror\ntwü\nlast');
    assert.equal(await collect(log.path, { stream: 'stderr' }), 'error\n');
    assert.equal(await collect(log.path, { tailLines: 2 }), 'twü\nlast');
    assert.equal(await collect(log.path, { tailLines: 0 }), '');
    assert.equal(await collect(log.path, { tailLines: 99 }), 'one\nerror\ntwü\nlast');
    assert.equal(await collect(log.path, { since: Date.now() + 1000 }), '');
    assert.equal(log.tail(), 'one\nerror\ntwü\nlast');
  });

  it('join the parts of a long line', async () => {
    const log = new ContainerLog(join(folder, 'b.log'), realClock);
    const long = 'x'.repeat(50_000);
    log.write('stdout', Buffer.from(`${long}\nshort\n`));
    log.close();
    assert.equal(await collect(log.path, {}), `${long}\nshort\n`);
    assert.equal(await collect(log.path, { tailLines: 2 }), `${long}\nshort\n`);
  });

  it('are bounded, and followed over a rotation without a loss', async () => {
    const log = new ContainerLog(join(folder, 'c.log'), realClock);
    const line = (index: number) => `${index} ${'y'.repeat(1000)}\n`;
    log.write('stdout', Buffer.from(line(0)));
    const followed = collect(log.path, { follow: true }, log);
    const count = 14_000;
    for (let index = 1; index < count; index++) {
      log.write('stdout', Buffer.from(line(index)));
      if (index % 500 === 0) await new Promise(setImmediate);
    }
    log.close();
    const numbers = (await followed)
      .trimEnd()
      .split('\n')
      .map((text) => Number(text.split(' ')[0]));
    assert.deepEqual(
      numbers,
      Array.from({ length: count }, (_, index) => index),
    );
    const bytes = statSync(log.path).size + statSync(`${log.path}.1`).size;
    assert.ok(bytes <= 2 * 10 * 1024 * 1024 + 2048, String(bytes));
  });
});
