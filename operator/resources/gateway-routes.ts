/**
 * Routes of the Gateway API that split a model's traffic over the Services of its versions. The first rule that a
 * request fits best decides: a version in the path, then one in the header, then the shares.
 *
 * The Services are headless: implementations send to their EndpointSlices, as the Gateway API's conformance tests ask.
 */

import { endpointPorts, versionHeader } from '#contract';
import { trafficAnnotation } from '../api/annotations.ts';
import { gatewayGroup, type ParentRef, type RouteKind } from '../api/gateway.ts';
import type { Model } from '../api/generated/model.ts';
import type { ModelVersion } from '../api/generated/model-version.ts';
import type { DesiredObject } from '../api/kubernetes.ts';
import { controlledBy, managedBy } from './metadata.ts';
import { versionChildName } from './names.ts';

export interface RouteInput {
  readonly model: Model;
  readonly kind: RouteKind;
  readonly plan: {
    readonly parentRefs: readonly ParentRef[];
    readonly hostnames?: readonly string[];
    /** Whether answers are to say which version gave them. */
    readonly responseHeader: boolean;
  };
  /** All versions of the model. */
  readonly versions: readonly ModelVersion[];
  /** Shares in percent, multiples of 0.01. */
  readonly shares: readonly { readonly version: string; readonly weight: number }[];
  /** Generation of the shares. */
  readonly generation: number;
  /** Versions that a request may ask for. */
  readonly pinnable: readonly ModelVersion[];
}

/** What the Gateway API allows in one list of rules, or of backends. */
const most = 16;

export function modelRoute(input: RouteInput): DesiredObject {
  const { model, kind, plan, generation } = input;
  const { name } = model.metadata;
  return {
    apiVersion: `${gatewayGroup}/v1`,
    kind,
    metadata: {
      name,
      namespace: model.metadata.namespace!,
      labels: { ...managedBy, 'app.kubernetes.io/name': name },
      annotations: { [trafficAnnotation]: String(generation) },
      ownerReferences: controlledBy(model),
    },
    spec: {
      parentRefs: plan.parentRefs,
      ...(plan.hostnames === undefined ? {} : { hostnames: plan.hostnames }),
      rules: [...pinRules(input), splitRule(input)],
    },
  };
}

/** Every request that asks for no version. Without a share yet there is no backend, and the answer is an error. */
function splitRule(input: RouteInput): object {
  const objects = new Map(input.versions.map((version) => [version.spec.version, version]));
  const shares = input.shares.filter(({ version }) => objects.has(version));
  const listed = shares.length <= most ? shares : shares.filter(({ weight }) => weight > 0);
  const backendRefs = listed.map(({ version, weight }) =>
    backend(input, objects.get(version)!, Math.round(weight * 100)),
  );
  return backendRefs.length === 0 ? {} : { backendRefs };
}

/** One rule for each version that runs; those with traffic come first, should there be more than a route can hold. */
function pinRules(input: RouteInput): object[] {
  const { model, kind, shares, pinnable } = input;
  const rank = ({ spec }: ModelVersion): number =>
    shares.some(({ version, weight }) => version === spec.version && weight > 0) ? 0 : 1;
  const chosen = pinnable.toSorted((a, b) => rank(a) - rank(b)).slice(0, most - 1);
  return chosen.map((version) => {
    const named = { headers: [{ type: 'Exact', name: versionHeader, value: version.spec.version }] };
    const path = `/v2/models/${model.metadata.name}/versions/${version.spec.version}`;
    return {
      matches: kind === 'HTTPRoute' ? [{ path: { type: 'PathPrefix', value: path } }, named] : [named],
      backendRefs: [backend(input, version, 1)],
    };
  });
}

function backend({ kind, plan }: RouteInput, { metadata, spec }: ModelVersion, weight: number): object {
  const port = spec.server.ports[kind === 'HTTPRoute' ? endpointPorts.http : endpointPorts.grpc];
  const filter = {
    type: 'ResponseHeaderModifier',
    responseHeaderModifier: { set: [{ name: versionHeader, value: spec.version }] },
  };
  return {
    name: versionChildName(metadata.name),
    port,
    weight,
    ...(plan.responseHeader ? { filters: [filter] } : {}),
  };
}
