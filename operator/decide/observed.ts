/** What a decision about a model is made from: one readonly value, read before anything is decided. */

import type { GPUPool } from '../api/generated/gpu-pool.ts';
import type { Model } from '../api/generated/model.ts';
import type { ModelVersion, ModelVersionStatus } from '../api/generated/model-version.ts';
import type { Deployment, Pod } from '../api/kubernetes.ts';
import type { StartsSaid } from '../api/starts.ts';
import type { Following } from '../api/traffic.ts';
import type { Evidence } from './analysis/evidence.ts';
import type { RoutesObserved } from './gateway-routes.ts';

/** One version and what runs of it. */
export interface VersionObserved {
  readonly object: ModelVersion;
  readonly deployment?: Deployment;
  readonly pods: readonly Pod[];
  /** What its pods say of their start, where they do. */
  readonly starts?: StartsSaid;
  /** What was written last of how its servers started, whether or not the API server has kept it. */
  readonly server?: NonNullable<ModelVersionStatus['server']>;
  /** Objects that stand where children should, and belong to somebody else, as `Kind name`. */
  readonly foreign: readonly string[];
  /** What the API server said when it refused a child the last time. */
  readonly rejected?: string;
}

/** A router that is ready. */
export interface RouterObserved {
  readonly name: string;
  /** Absent when it has not spoken of this Model yet. */
  readonly following?: Following;
}

/** Everything a decision about a model depends on. */
export interface ModelObserved {
  readonly namespace: string;
  readonly name: string;
  readonly model?: Model;
  readonly versions: readonly VersionObserved[];
  readonly pools: ReadonlyMap<string, GPUPool>;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly routers: readonly RouterObserved[];
  /** Most requests that were in flight at once of late, on all routers; absent until one has said. */
  readonly concurrency?: number;
  /** What live traffic has said of the candidate since its first step. */
  readonly evidence: Evidence;
  /** Port of this model on the routers; absent when the namespace has none left. */
  readonly port?: number;
  /** Routes of the Gateway API with the Model's name. */
  readonly gatewayRoutes: RoutesObserved;
  /** Objects of the core API with the names of the Model's children that belong to somebody else, as `Kind name`. */
  readonly foreign: readonly string[];
}
