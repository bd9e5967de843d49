/** Inputs for property tests: small worlds, so that things collide, with hostile names among them. */
import fc from 'fast-check';
import type { Policy } from '../policy.ts';
import type { EndpointInput, Inputs, ModelInput } from '../state.ts';

/** What somebody might write where a version, a model or an address belongs. */
export const hostileNames: readonly string[] = [
  '',
  ' ',
  '1.0 2.0',
  'a\nb',
  'a\r\n  http-request deny',
  'x; show info',
  'x << y',
  '<<',
  '"quoted"',
  "it's",
  '%[env(HOME)]',
  '../../etc/passwd',
  '-leading',
  'trailing.',
  'ü',
  '\u0000',
  '$(id)',
  '\\',
  '#',
  'v'.repeat(64),
  'v'.repeat(253),
];

const version = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('1.0.0', '2.0.0', '3.0.0', 'v4') },
  { weight: 1, arbitrary: fc.constantFrom(...hostileNames) },
);
const modelName = fc.constantFrom('m1', 'm2', 'm3');
const weight = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 10_000 }).map((units) => units / 100) },
  { weight: 1, arbitrary: fc.constantFrom(Number.NaN, -1, 101, Number.POSITIVE_INFINITY) },
);

const name = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('x-user-id', 'X-Tenant', 'a_b') },
  { weight: 1, arbitrary: fc.constantFrom(...hostileNames, 'sluice-version', 'Sluice-hop') },
);
const text = fc.oneof(fc.constantFrom('beta', ...hostileNames), fc.string({ maxLength: 300 }));

export const arbitraryPolicy: fc.Arbitrary<Policy> = fc.record(
  {
    sticky: fc.oneof(
      name.map((header) => ({ header })),
      name.map((cookie) => ({ cookie })),
    ),
    routes: fc.array(
      fc.oneof(
        fc.record({ headers: fc.array(fc.record({ name, value: text }), { maxLength: 9 }), version }),
        fc.record({
          headers: fc.array(fc.record({ name, value: text }), { maxLength: 2 }),
          prefix: text.map((end) => `/${end}`),
          version,
        }),
      ),
      { maxLength: 4 },
    ),
    pinning: fc.constant('disabled' as const),
    timeouts: fc.record(
      { responseMs: fc.constantFrom(1, 30_000, Number.NaN, -1, 1e12), idleMs: fc.constantFrom(1000, 0.5) },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
);

const plain = {
  name: modelName,
  uid: fc.constantFrom('u1', 'u2', 'u3', 'u4'),
  port: fc.constantFrom(10_000, 10_001, 10_002, 10_499, 80),
  generation: fc.nat(100),
  stable: version,
  traffic: fc.uniqueArray(fc.record({ version, weight }), {
    maxLength: 4,
    selector: (entry) => entry.version,
  }),
};

/** What routes lead to changes with every change; the rules themselves seldom do. */
const ruled = {
  ...plain,
  policy: fc.constant<Policy>({
    routes: ['1.0.0', '2.0.0', '3.0.0'].map((to) => ({ headers: [], prefix: `/${to}`, version: to })),
  }),
  routed: fc.array(version, { maxLength: 3 }),
};

const model: fc.Arbitrary<ModelInput> = fc.oneof(
  { weight: 3, arbitrary: fc.record(plain) },
  { weight: 1, arbitrary: fc.record(ruled) },
);

const endpoint: fc.Arbitrary<EndpointInput> = fc.record(
  {
    model: modelName,
    version,
    address: fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', 'fd00::1') },
      {
        weight: 1,
        arbitrary: fc.constantFrom(...hostileNames, 'fe80::1%eth0', 'pod.example.com', '10.0.0.1 disabled'),
      },
    ),
    ports: fc.constantFrom(
      { http: 8080, grpc: 8081 },
      { http: 8080 },
      { grpc: 8081 },
      {},
      { http: 0, grpc: 99_999 },
    ),
    state: fc.constantFrom('ready' as const, 'terminating' as const),
    targetConcurrency: fc.constantFrom(1, 8, 0, Number.NaN),
  },
  { requiredKeys: ['model', 'version', 'address', 'ports', 'state'] },
);

export const arbitraryInputs: fc.Arbitrary<Inputs> = fc.record({
  models: fc.uniqueArray(model, { maxLength: 4, selector: (one) => one.uid }),
  endpoints: fc.array(endpoint, { maxLength: 8 }),
});
