import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type Machine, type Program, provide } from './program.ts';

const gauge: Program = {
  title: 'Gauge',
  name: 'sluice-gauge',
  package: 'gauge-tools',
  elsewhere: 'Fedora: dnf install gauge',
  variable: 'SLUICE_GAUGE',
  version: { argument: '--version', pattern: /gauge (\d+)\.(\d+)/ },
  oldest: [2, 6],
};
const advice =
  'install Gauge 2.6 or later with your package manager (Debian, Ubuntu: apt install gauge-tools; ' +
  'Fedora: dnf install gauge) or name its binary in SLUICE_GAUGE';

let folder: string;
let bin: string;
let cache: string;
let lines: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-program-'));
  bin = join(folder, 'bin');
  cache = join(folder, 'cache');
  lines = [];
  await mkdir(bin);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function script(path: string, text: string): Promise<string> {
  await writeFile(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return path;
}

/** A binary that says its version, and fails after it, as some do. */
const says = (version: string) => `echo "gauge ${version}.1"; exit 1`;

/** An apt-get that installs into the PATH, or downloads a "package": a script that dpkg runs in the new root. */
async function distribution({ install = 'exit 100', holds = 'usr/sbin' } = {}): Promise<void> {
  await script(
    join(bin, 'apt-get'),
    `echo "$*" >>'${folder}/apt.log'
for argument; do case "$argument" in Dir::Cache::archives=*) archives="\${argument#*=}";; esac; done
case "$*" in
*--download-only*) cat >"$archives/gauge-tools_2.deb" <<'END'
mkdir -p '${holds}' usr/lib/$(uname -m)-linux-gnu
printf '#!/bin/sh\\necho "gauge 2.7, libraries in $LD_LIBRARY_PATH"\\n' >'${holds}/sluice-gauge'
chmod +x '${holds}/sluice-gauge'
END
;;
*update*) ;;
*) ${install} ;;
esac`,
  );
  await script(join(bin, 'dpkg'), 'cd "$3" && . "$2"');
}

function machine(root = false, more: NodeJS.ProcessEnv = {}): Machine {
  return { root, environment: { PATH: `${bin}:/usr/bin:/bin`, ...more } };
}

const get = (on: Machine, program = gauge) => provide(program, cache, (line) => lines.push(line), on);

describe('a program of the distribution', () => {
  test('is the one that is named, before that on the PATH, before that in the cache', async () => {
    await mkdir(join(cache, gauge.name), { recursive: true });
    const cached = await script(join(cache, gauge.name, gauge.name), says('2.6'));
    assert.equal(await get(machine()), cached);
    const installed = await script(join(bin, gauge.name), says('2.6'));
    assert.equal(await get(machine()), installed);
    const named = await script(join(folder, 'mine'), says('3.0'));
    assert.equal(await get(machine(false, { SLUICE_GAUGE: named })), named);
    assert.deepEqual(lines, []);
  });

  test('is refused when it is too old or does not run', async () => {
    const path = await script(join(bin, gauge.name), says('2.5'));
    await assert.rejects(get(machine()), { message: `${path} is Gauge 2.5: please ${advice}` });
    await script(path, 'echo "cannot open libgauge.so" >&2; exit 127');
    await assert.rejects(get(machine()), { message: `${path} does not run: cannot open libgauge.so` });
    await assert.rejects(
      get(machine(false, { SLUICE_GAUGE: join(folder, 'nothing') })),
      /does not run: .*ENOENT/,
    );
  });

  test('is asked of the user where there is no Debian', async () => {
    const on = { root: true, environment: { PATH: bin } };
    await assert.rejects(get(on), { message: `Gauge is not installed: please ${advice}` });
  });

  test('is installed by root, with fresh lists when the first try fails', async () => {
    const once = `test -e '${folder}/tried' || { touch '${folder}/tried'; exit 100; }`;
    await script(join(folder, 'gauge'), says('2.6'));
    await distribution({ install: `${once}; cp '${folder}/gauge' '${bin}/${gauge.name}'` });
    assert.equal(await get(machine(true)), join(bin, gauge.name));
    assert.deepEqual(lines, ['installing gauge-tools with apt-get']);
  });

  for (const [who, on, program] of [
    ['for an ordinary user', machine, gauge],
    ['for root when it cannot be installed', () => machine(true), gauge],
    ['for root when installing would start a server', () => machine(true), { ...gauge, startsServer: true }],
  ] as const) {
    test(`is unpacked into the cache ${who}, wherever that lies, with its libraries`, async () => {
      await distribution({ install: program === gauge ? 'exit 100' : `touch '${folder}/installed'` });
      const path = await get(on(), program);
      assert.equal(path, join(cache, gauge.name, gauge.name));
      await assert.rejects(access(join(folder, 'installed')), { code: 'ENOENT' });
      assert.deepEqual(await readdir(cache), [gauge.name], 'nothing is left beside it');
      assert.equal(lines.at(-1), 'downloading gauge-tools from the distribution into the cache');

      lines = [];
      assert.equal(await get(on(), program), path, 'the next finds it');
      assert.deepEqual(lines, []);

      await rename(cache, join(folder, 'moved'));
      const moved = join(folder, 'moved', gauge.name);
      const { stdout } = await promisify(execFile)(join(moved, gauge.name));
      assert.match(stdout, new RegExp(`libraries in ${moved}/root/usr/lib/[^:]+-linux-gnu:`));
    });
  }

  test('says all that was tried when nothing helped', async () => {
    await distribution({ install: 'echo "E: no network" >&2; exit 100', holds: 'usr/share' });
    await assert.rejects(get(machine(true)), {
      message:
        'Gauge is not installed, and installing gauge-tools failed: E: no network; ' +
        `unpacking gauge-tools failed: the package holds no sluice-gauge. Please ${advice}`,
    });
    assert.deepEqual(await readdir(cache), [], 'nothing is left behind');
  });

  test('comes whole when several processes bring it at once', async () => {
    await distribution();
    const paths = await Promise.all([get(machine()), get(machine()), get(machine())]);
    assert.deepEqual(new Set(paths), new Set([join(cache, gauge.name, gauge.name)]));
    assert.deepEqual(await readdir(cache), [gauge.name]);
  });
});
