import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { validate as validGrpcRoute } from '@kubernetes-models/gateway-api/_schemas/IoK8sSigsGatewayApiApisV1GRPCRoute';
import { validate as validHttpRoute } from '@kubernetes-models/gateway-api/_schemas/IoK8sSigsGatewayApiApisV1HTTPRoute';
import fc from 'fast-check';
import { model, modelVersion } from '../api/fixtures.ts';
import { type RouteKind, routeKinds } from '../api/gateway.ts';
import type { DesiredObject } from '../api/kubernetes.ts';
import { modelRoute, type RouteInput } from './gateway-routes.ts';
import { versionChildName } from './names.ts';

interface BackendRef {
  readonly name: string;
  readonly port: number;
  readonly weight: number;
  readonly namespace?: string;
  readonly filters?: readonly unknown[];
}
interface Rule {
  readonly matches?: readonly unknown[];
  readonly backendRefs?: readonly BackendRef[];
}

const versions = ['5.0.0', '6.0.0'].map((version) => modelVersion(version));
const input = (given: Partial<RouteInput> = {}): RouteInput => ({
  model: model(),
  kind: 'HTTPRoute',
  plan: {
    parentRefs: [{ name: 'public', namespace: 'infra', sectionName: 'https' }],
    hostnames: ['vad.example'],
    responseHeader: true,
  },
  versions,
  shares: [
    { version: '5.0.0', weight: 99.99 },
    { version: '6.0.0', weight: 0.01 },
  ],
  generation: 7,
  pinnable: versions,
  ...given,
});
const rulesOf = (route: DesiredObject): readonly Rule[] =>
  (route['spec'] as { readonly rules: readonly Rule[] }).rules;

/** As the published schemas have it, without the rules that are written in CEL. */
function assertPublished(route: DesiredObject): void {
  const validate = route.kind === 'HTTPRoute' ? validHttpRoute : validGrpcRoute;
  const valid = validate(route);
  assert.ok(valid, JSON.stringify((validate as { errors?: unknown }).errors));
}

describe('routes of the Gateway API', () => {
  it('split by whole weights, exact to 0.01 %', () => {
    const rules = rulesOf(modelRoute(input()));
    assert.deepEqual(
      rules.at(-1)?.backendRefs?.map(({ name, port, weight }) => [name, port, weight]),
      [
        [versionChildName('vad-5.0.0'), 8080, 9_999],
        [versionChildName('vad-6.0.0'), 8080, 1],
      ],
    );
  });

  it('lead a gRPC request to the port for gRPC', () => {
    const rules = rulesOf(modelRoute(input({ kind: 'GRPCRoute' })));
    assert.deepEqual(
      rules.map(({ backendRefs }) => backendRefs?.map(({ port }) => port)),
      [[8081], [8081], [8081, 8081]],
    );
  });

  it('let a request ask for a version by path or by header', () => {
    const header = { headers: [{ type: 'Exact', name: 'sluice-version', value: '6.0.0' }] };
    const path = { path: { type: 'PathPrefix', value: '/v2/models/vad/versions/6.0.0' } };
    assert.deepEqual(rulesOf(modelRoute(input()))[1]?.matches, [path, header]);
    assert.deepEqual(rulesOf(modelRoute(input({ kind: 'GRPCRoute' })))[1]?.matches, [header]);
  });

  it('say which version answered, unless filters on backends are not supported', () => {
    const filters = (responseHeader: boolean) =>
      rulesOf(modelRoute(input({ plan: { parentRefs: [{ name: 'a' }], responseHeader } })))
        .flatMap(({ backendRefs = [] }) => backendRefs)
        .map((backend) => backend.filters);
    assert.deepEqual(filters(true)[0], [
      {
        type: 'ResponseHeaderModifier',
        responseHeaderModifier: { set: [{ name: 'sluice-version', value: '5.0.0' }] },
      },
    ]);
    assert.deepEqual(filters(false), [undefined, undefined, undefined, undefined]);
  });

  it('have no backend before there is a share, and none in another namespace ever', () => {
    assert.deepEqual(rulesOf(modelRoute(input({ shares: [], pinnable: [] }))), [{}]);
    for (const { backendRefs = [] } of rulesOf(modelRoute(input())))
      for (const { namespace } of backendRefs) assert.equal(namespace, undefined);
  });

  it('belong to the Model and remember the generation of the shares', () => {
    const { metadata } = modelRoute(input());
    assert.equal(metadata.ownerReferences?.[0]?.uid, 'uid-vad');
    assert.deepEqual(metadata.annotations, { 'sluice.dev/traffic-generation': '7' });
  });

  it('keep to the published schemas and to their sums, whatever is asked of them', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9])?$/), {
      minLength: 1,
      maxLength: 40,
    });
    /** Percent, in hundredths that sum to 10,000. */
    const sharesOf = (named: readonly string[], parts: readonly number[]): RouteInput['shares'] => {
      const others = named.slice(1).map((version, index) => ({ version, weight: parts[index]! / 100 }));
      const taken = others.reduce((sum, { weight }) => sum + Math.round(weight * 100), 0);
      return [{ version: named[0]!, weight: (10_000 - taken) / 100 }, ...others];
    };
    const kinds = fc.constantFrom<RouteKind>(...routeKinds);
    fc.assert(
      fc.property(
        names,
        fc.array(fc.nat(600), { minLength: 16, maxLength: 16 }),
        kinds,
        (all, parts, kind) => {
          const made = all.map((version) => modelVersion(version));
          const shares = sharesOf(all.slice(0, 16), parts);
          const route = modelRoute(input({ kind, versions: made, shares, pinnable: made }));
          assertPublished(route);
          const backends = rulesOf(route).at(-1)?.backendRefs ?? [];
          const sum = backends.reduce((total, { weight }) => total + weight, 0);
          assert.equal(sum, 10_000);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('are held against schemas that refuse what is wrong', () => {
    const route = modelRoute(input());
    const wrong = { ...route, spec: { parentRefs: [{ name: 'a' }], hostnames: ['Not a host'] } };
    assert.throws(() => assertPublished(wrong), /pattern/);
  });
});
