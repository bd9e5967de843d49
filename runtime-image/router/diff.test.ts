import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { checkIntervalMs, files, renderConfig, serverPath } from './config.ts';
import { diff, type Step } from './diff.ts';
import { type MapFile, renderMaps } from './maps.ts';
import { plan } from './plan.ts';
import { span } from './split.ts';
import { emptyState, type State } from './state.ts';
import { arbitraryInputs } from './testing/arbitrary.ts';

const free = { slots: new Set<number>(), places: new Set<string>() };
const limits = { bind: '127.0.0.1', threads: 1, descriptors: 16_000, hardStopAfter: 5 };

/** What HAProxy would hold: maps, and servers that get requests, with their limits. */
interface World {
  readonly maps: Record<MapFile, Map<string, string>>;
  readonly servers: Map<string, number | undefined>;
}

function worldOf(state: State): World {
  const maps = Object.fromEntries(
    Object.entries(renderMaps(state)).map(([file, text]) => [
      file,
      new Map(
        text
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => line.split(' ') as [string, string]),
      ),
    ]),
  ) as World['maps'];
  return { maps, servers: new Map(state.servers.map((server) => [serverPath(server), server.limit])) };
}

function take(world: World, step: Step): void {
  switch (step.do) {
    case 'place-server':
      // A pod may follow another one in its place.
      world.servers.set(step.path, step.limit);
      break;
    case 'add-server':
      assert.ok(!world.servers.has(step.path), `${step.path} is there already`);
      world.servers.set(step.path, step.limit);
      break;
    case 'limit-server':
      assert.ok(world.servers.has(step.path), `${step.path} is not there`);
      world.servers.set(step.path, step.limit);
      break;
    case 'retire-server':
      assert.ok(world.servers.delete(step.path), `${step.path} is not there`);
      break;
    case 'add-entries':
      for (const [key, value] of step.entries) {
        assert.ok(!world.maps[step.map].has(key), `${step.map} has ${key} already`);
        world.maps[step.map].set(key, value);
      }
      break;
    case 'set-entry':
      assert.ok(world.maps[step.map].has(step.key), `${step.map} lacks ${step.key}`);
      world.maps[step.map].set(step.key, step.value);
      break;
    case 'delete-entries':
      for (const key of step.keys) assert.ok(world.maps[step.map].delete(key), `${step.map} lacks ${key}`);
      break;
    default:
      step satisfies never;
  }
}

/** Version that a bucket of a port leads to, as HAProxy looks it up; undefined: nowhere. */
function lookUp(world: World, port: number, bucket: number): string | undefined {
  const base = world.maps[files.ports].get(String(port));
  if (base === undefined) return undefined;
  const key = Number(base) + bucket;
  let best: { bits: number; slot: string } | undefined;
  for (const [prefix, slot] of world.maps[files.split]) {
    const [address, bits] = prefix.split('/') as [string, string];
    const first = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
    const inside = key >= first && key < first + 2 ** (32 - Number(bits));
    if (inside && (best === undefined || Number(bits) > best.bits)) best = { bits: Number(bits), slot };
  }
  return best?.slot;
}

function planned(...sequence: Parameters<typeof plan>[0][]): State {
  return sequence.reduce((state, inputs) => plan(inputs, state, free).state, emptyState);
}

describe('diff', () => {
  it('has no steps between equal states', () => {
    fc.assert(
      fc.property(arbitraryInputs, (inputs) => {
        const state = planned(inputs);
        assert.deepEqual(diff(state, plan(inputs, state, free).state), []);
      }),
    );
  });

  it('asks for a reload only when the pool grows or a server changes under its name', () => {
    assert.equal(diff(emptyState, { ...emptyState, pool: 512 }), undefined);
    const server = { slot: 1, kind: 'http', address: '10.0.0.1', port: 8080, checkPort: 8080 } as const;
    const changed = { ...server, checkPort: 9090 };
    assert.equal(
      diff({ ...emptyState, servers: [server] }, { ...emptyState, servers: [changed] }),
      undefined,
    );
  });

  it('turns what HAProxy has into exactly what a restart would load, and no bucket is ever without a version', () => {
    const probes = [0, 1, 2500, 4999, 5000, 7531, 9998, 9999];
    fc.assert(
      fc.property(fc.array(arbitraryInputs, { minLength: 1, maxLength: 5 }), (sequence) => {
        let state = emptyState;
        let world = worldOf(state);
        for (const inputs of sequence) {
          const next = plan(inputs, state, free).state;
          const steps = diff(state, next);
          if (steps === undefined) {
            assert.ok(
              next.limited !== state.limited || changesServer(state, next) || changesRules(state, next),
              'the pool is large enough here',
            );
            world = worldOf(next);
            state = next;
            continue;
          }
          const ports = state.routes
            .map((route) => route.port)
            .filter((port) => next.routes.some((r) => r.port === port));
          const before = worldOf(state);
          const after = worldOf(next);
          for (const one of steps) {
            take(world, one);
            for (const port of ports)
              for (const bucket of probes)
                assert.ok(
                  [lookUp(before, port, bucket), lookUp(after, port, bucket)].includes(
                    lookUp(world, port, bucket),
                  ),
                  `bucket ${bucket} of ${port} after ${JSON.stringify(one)}`,
                );
          }
          assert.deepEqual(sorted(world), sorted(after));
          state = next;
        }
      }),
      { numRuns: 150 },
    );
  });

  it('adds pods before traffic reaches them, and retires pods after it left them', () => {
    const models = (version: string) => [
      {
        name: 'm',
        uid: 'u',
        port: 10_000,
        generation: 1,
        stable: version,
        traffic: [{ version, weight: 100 }],
      },
    ];
    const pod = (version: string, address: string) =>
      ({ model: 'm', version, address, ports: { http: 1 }, state: 'ready' }) as const;
    const from = planned({ models: models('a'), endpoints: [pod('a', '10.0.0.1')] });
    const to = plan({ models: models('b'), endpoints: [pod('b', '10.0.0.2')] }, from, free).state;
    assert.deepEqual(
      diff(from, to)?.map((one) => one.do + ('map' in one ? ` ${one.map}` : '')),
      [
        'add-server',
        'add-entries split.map',
        'set-entry ports.map',
        'set-entry fallbacks.map',
        'add-entries pins.map',
        'delete-entries pins.map',
        'delete-entries split.map',
        'retire-server',
      ],
    );
  });
});

describe('what is written', () => {
  it('holds nothing of a hostile name, whatever the inputs', () => {
    const name = String.raw`\d+\/[\w.-]{1,63}`;
    const mapLine = new RegExp(
      String.raw`^(\d+ \d+|\d+ ${name}(\|${name}){0,2}|[\d.]+\/\d+ ${name}|${name} ${name})$`,
    );
    const server =
      /^ {2}(maxconn \d+|server ([0-9a-f.:]+_\d+|p\d) (\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\]):\d+ [ \w-]+|http-request (set-var|track-sc0|sc-inc-gpc0|return)[ (].*)$/;
    const plain = new Set(renderConfig(emptyState, limits).split('\n'));
    fc.assert(
      fc.property(arbitraryInputs, (inputs) => {
        const state = planned(inputs);
        for (const text of Object.values(renderMaps(state)))
          for (const line of text.split('\n')) assert.match(line, line === '' ? /^$/ : mapLine);
        // What rules are written like is the business of their own test.
        const routes = state.routes.map(({ policy: _, ...route }) => route);
        for (const line of renderConfig({ ...state, routes }, limits).split('\n'))
          if (!plain.has(line)) assert.match(line, server);
        for (const one of diff(emptyState, state) ?? []) {
          const words = JSON.stringify(one);
          assert.doesNotMatch(words, /\\n|\\r|;|<|"quoted|%|\$|\.\./);
        }
      }),
    );
  });

  it('checks many pods less often, so that all checks together cost the same, and thinks them no others for it', () => {
    assert.deepEqual([0, 1, 800, 801, 12_000].map(checkIntervalMs), [400, 400, 400, 800, 6000]);
    const pods = (count: number) =>
      planned({
        models: [
          {
            name: 'm',
            uid: 'u',
            port: 10_000,
            generation: 1,
            traffic: [{ version: 'a', weight: 100 }],
          },
        ],
        endpoints: Array.from({ length: count }, (_, index) => ({
          model: 'm',
          version: 'a',
          address: `10.0.${index >> 8}.${index & 255}`,
          ports: { http: 80 },
          state: 'ready' as const,
        })),
      });
    const [some, many] = [pods(800), pods(1000)];
    const intervals = (state: State) =>
      new Set(renderConfig(state, limits).match(/(?<=_80 .* inter )\d+ms/g) ?? []);
    assert.deepEqual([intervals(some), intervals(many)], [new Set(['400ms']), new Set(['800ms'])]);
    const steps = diff(some, many) ?? [];
    const added = steps.flatMap((step) => (step.do === 'add-server' ? [step.options] : []));
    assert.equal(added.length, 200);
    for (const options of added) assert.match(options, / inter 800ms /);
    assert.ok(!steps.some((step) => step.do === 'retire-server'));
  });

  it('gives a model keys that no other model has', () => {
    const inputs = [10_000, 10_001, 10_499].map((port) => ({
      name: `m${port}`,
      uid: `u${port}`,
      port,
      generation: 1,
      traffic: [{ version: 'a', weight: 100 }],
    }));
    const keys = [...worldOf(planned({ models: inputs, endpoints: [] })).maps[files.split].keys()];
    assert.deepEqual(keys, ['0.0.0.0/18', '0.0.128.0/18', '0.249.128.0/18']);
    assert.equal(0x00f98000, 499 * 2 * span);
  });
});

function sorted(world: World): unknown {
  return {
    servers: [...world.servers].sort(),
    maps: Object.fromEntries(
      Object.entries(world.maps).map(([file, entries]) => [file, [...entries].sort()]),
    ),
  };
}

function changesRules(from: State, to: State): boolean {
  const ruled = ({ routes }: State) =>
    routes.filter((route) => route.policy).map((route) => `${route.port} ${route.name}`);
  return ruled(from).sort().join() !== ruled(to).sort().join();
}

/** Whether a server keeps its name and becomes another, which only a reload can do. */
function changesServer(before: State, after: State): boolean {
  const named = new Map(before.servers.map((server) => [serverPath(server), JSON.stringify(server)]));
  return after.servers.some((server) => {
    const former = named.get(serverPath(server));
    return former !== undefined && former !== JSON.stringify(server);
  });
}
