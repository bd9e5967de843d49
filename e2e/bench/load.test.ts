import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { grpc, http1 } from './load.ts';

let folder: string;
const load = { url: 'http://127.0.0.1:1/m', seconds: 2, body: Buffer.from([0, 10, 255]), connections: 32 };

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-load-test-'));
});
after(() => rm(folder, { recursive: true }));

/** A tool that says its version when asked for it, and else does as told; it leaves its arguments in a file. */
async function tool(variable: string, version: string, script: string): Promise<void> {
  const path = join(folder, variable);
  const asked = `case "$1" in -v|--version) echo '${version}'; exit;; esac; echo "$*" >'${path}.arguments'`;
  await writeFile(path, `#!/bin/sh\n${asked}\n${script}\n`, { mode: 0o755 });
  process.env[variable] = path;
}

const given = (variable: string) => readFile(join(folder, `${variable}.arguments`), 'utf8');

const wrkSays = (
  more: string,
) => `for script; do case "$script" in *.lua) cp "$script" '${folder}/script';; esac; done
cat <<'END'
  Thread Stats   Avg      Stdev     Max   +/- Stdev
  Latency Distribution
     50%  812.00us
     75%    1.02ms
     99%    1.25s
  40000 requests in 2.00s, 9.92MB read
${more}
Requests/sec:  20000.50
END`;

test('what wrk measures, in milliseconds', async () => {
  await tool('SLUICE_WRK', 'wrk 4.1.0', wrkSays(''));
  assert.deepEqual(await http1(load, { Cookie: 'a="b"' }), { perSecond: 20000.5, p50Ms: 0.812, p99Ms: 1250 });
  assert.match(await given('SLUICE_WRK'), /^-t1 -c32 -d2s .* http:\/\/127\.0\.0\.1:1\/m\n$/);
  assert.match(await readFile(join(folder, 'script'), 'utf8'), /^wrk\.headers\["Cookie"\] = "a=\\"b\\""$/m);
});

test('a failed request fails the measurement', async () => {
  await tool('SLUICE_WRK', 'wrk 4.1.0', wrkSays('  Non-2xx or 3xx responses: 3'));
  await assert.rejects(http1(load), /wrk at http:.*: Non-2xx or 3xx responses: 3/);
  await tool('SLUICE_WRK', 'wrk 4.1.0', wrkSays('  Socket errors: connect 0, read 2, write 0, timeout 0'));
  await assert.rejects(http1(load), /Socket errors: connect 0, read 2/);
});

const h2loadSays = (failed: number) => `for one; do case "$one" in --log-file=*) log="\${one#*=}";; esac; done
for micros in 3000 1000 2000 4000; do printf '1700000000000000\\t200\\t%s\\n' $micros; done >"$log"
echo 'requests: 400 total, 410 started, 400 done, 399 succeeded, ${failed} failed, 0 errored, 0 timeout'`;

test('what h2load measures, from its log of requests', async () => {
  await tool('SLUICE_H2LOAD', 'h2load nghttp2/1.52.0', h2loadSays(0));
  assert.deepEqual(await grpc({ ...load, streams: 4 }), { perSecond: 199.5, p50Ms: 2, p99Ms: 4 });
  assert.match(await given('SLUICE_H2LOAD'), /^-t1 -c32 -m4 -D2 -d \S+/);
  await tool('SLUICE_H2LOAD', 'h2load nghttp2/1.52.0', h2loadSays(1));
  await assert.rejects(grpc({ ...load, streams: 4 }), /h2load at .*\n.*399 succeeded, 1 failed/);
});
