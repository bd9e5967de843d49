/**
 * Everything the operator writes, but events and its lease. Each write asks the fence first.
 *
 * - Children go through server-side apply with the field manager `sluice` and force: of the fields we set we are the
 *   authority, and fields that we do not set (replicas under an autoscaler) stay with whoever owns them.
 * - A status goes through PUT of `/status` with the resource version that was read: it replaces the whole status,
 *   which a merge patch cannot (it does not remove fields), and it never overwrites what we have not seen.
 */
import { createHash } from 'node:crypto';
import type { KubeClient } from '../../kube-client/client.ts';
import { isAlreadyExists, isConflict, isNotFound } from '../../kube-client/errors.ts';
import type { Logger } from '../../kube-client/logger.ts';
import { type Resource, resources } from '../../kube-client/resources.ts';
import { routeResources } from '../api/gateway.ts';
import { gpuPoolResource } from '../api/generated/gpu-pool.ts';
import { modelResource } from '../api/generated/model.ts';
import { modelVersionResource } from '../api/generated/model-version.ts';
import type { DesiredObject, KubernetesObject } from '../api/kubernetes.ts';
import { TerminalError } from '../engine/errors.ts';
import type { Writer } from '../reconcile/ports.ts';
import { holdsJson, sameJson } from './equal.ts';
import { translate } from './errors.ts';
import { type Fence, limitsOf } from './fence.ts';

export const fieldManager = 'sluice';

/** On children: hash of what was applied, so that a new process can tell what it need not apply again. */
export const appliedAnnotation = 'sluice.dev/applied';

const written: readonly Resource[] = [
  modelResource,
  modelVersionResource,
  gpuPoolResource,
  resources.deployments,
  resources.services,
  resources.serviceaccounts,
  resources.rolebindings,
  resources.poddisruptionbudgets,
  routeResources.HTTPRoute,
  routeResources.GRPCRoute,
];

/** What the server had after we applied something, to see later whether it is still so. */
interface Applied {
  readonly hash: string;
  readonly uid: string | undefined;
  readonly generation: number | undefined;
  readonly resourceVersion: string | undefined;
}

export interface WriterOptions {
  readonly client: KubeClient;
  readonly fence: Fence;
  readonly logger: Logger;
  /** What the caches hold of an object that the caller has no view of. */
  readonly find: (kind: string, key: string) => KubernetesObject | undefined;
}

export class KubeWriter implements Writer {
  readonly #client: KubeClient;
  readonly #fence: Fence;
  readonly #find: WriterOptions['find'];
  readonly #logger: Logger;
  readonly #applied = new Map<string, Applied>();
  /** Statuses of which the server has not kept all, by id: as they were sent, and what the object was then. */
  readonly #cut = new Map<
    string,
    { readonly resourceVersion: string | undefined; readonly status: object }
  >();
  readonly #warned = new Set<string>();

  constructor({ client, fence, logger, find }: WriterOptions) {
    this.#client = client;
    this.#fence = fence;
    this.#logger = logger;
    this.#find = find;
  }

  async apply(object: DesiredObject, observed: KubernetesObject | undefined): Promise<void> {
    const { namespace, name } = object.metadata;
    const id = idOf(object);
    const hash = createHash('sha256').update(JSON.stringify(object)).digest('hex').slice(0, 32);
    const current = observed ?? this.#find(object.kind, keyOf(object));
    if (current !== undefined && isAsApplied(object, current, hash, this.#applied.get(id))) return;
    const annotations = { ...object.metadata.annotations, [appliedAnnotation]: hash };
    const body = { ...object, metadata: { ...object.metadata, annotations } };
    const result = await this.#write(() =>
      this.#client.apply<KubernetesObject>(resourceOf(object), namespace, name, body, {
        fieldManager,
        force: true,
        ...limitsOf(this.#fence),
      }),
    );
    const { uid, generation, resourceVersion } = result.metadata;
    this.#applied.set(id, { hash, uid, generation, resourceVersion });
  }

  async create(object: DesiredObject): Promise<void> {
    await this.#write(async () => {
      try {
        const limits = limitsOf(this.#fence);
        await this.#client.create(resourceOf(object), object.metadata.namespace, object, limits);
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
    });
  }

  async delete(object: KubernetesObject): Promise<void> {
    const { namespace, name, uid } = object.metadata;
    await this.#write(async () => {
      try {
        await this.#client.delete(resourceOf(object), namespace, name, {
          propagationPolicy: 'Background',
          ...(uid === undefined ? {} : { preconditions: { uid } }),
          ...limitsOf(this.#fence),
        });
      } catch (error) {
        // A conflict says that the object of this name is another one, so this one is gone.
        if (!isNotFound(error) && !isConflict(error)) throw error;
      }
    });
    this.#applied.delete(idOf(object));
    this.#cut.delete(idOf(object));
  }

  async writeStatus(object: KubernetesObject & { readonly status?: object }, status: object): Promise<void> {
    if (sameJson(object.status, status)) return;
    const { namespace, name, resourceVersion } = object.metadata;
    const id = idOf(object);
    const cut = this.#cut.get(id);
    if (cut?.resourceVersion === resourceVersion && sameJson(cut?.status, status)) return;
    await this.#write(async () => {
      try {
        const options = { subresource: 'status', ...limitsOf(this.#fence) };
        const resource = resourceOf(object);
        const written = { ...object, status };
        const kept = await this.#client.replace<typeof object>(resource, namespace, name, written, options);
        this.#compare(written, kept);
      } catch (error) {
        // Gone while we looked at it: there is nothing left to report on.
        if (!isNotFound(error)) throw error;
        this.#cut.delete(id);
      }
    });
  }

  /** A server with older CRDs drops what they do not know, and would be sent the same for ever. */
  #compare({ status }: { readonly status: object }, kept: KubernetesObject & { readonly status?: object }) {
    const { kind, metadata } = kept;
    if (holdsJson(kept.status, status)) {
      this.#cut.delete(idOf(kept));
      return;
    }
    this.#cut.set(idOf(kept), { resourceVersion: metadata.resourceVersion, status });
    if (this.#warned.has(kind)) return;
    this.#warned.add(kind);
    this.#logger.warn(
      `the API server does not keep all of the status of a ${kind}: its CRDs are older than the operator; apply those of the chart`,
    );
  }

  async #write<T>(call: () => Promise<T>): Promise<T> {
    this.#fence.check();
    try {
      return await call();
    } catch (error) {
      throw translate(error);
    }
  }
}

type Named = Pick<KubernetesObject, 'kind' | 'metadata'>;

function keyOf({ metadata: { namespace, name } }: Named): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

const idOf = (object: Named): string => `${object.kind} ${keyOf(object)}`;

function resourceOf(object: KubernetesObject): Resource {
  const found = written.find(({ kind }) => kind === object.kind);
  if (found === undefined)
    throw new TerminalError(`the operator does not write objects of kind ${object.kind}`);
  return found;
}

/**
 * Whether the object is still as it was applied: the same was applied last, and nobody has changed it since.
 *
 * The first is told by the annotation, since a field that was applied once and is wanted no more would otherwise stay.
 * The second by holding all that is wanted. The server may write values in another way than we do (`1000m` becomes
 * `1`); then what this process remembers decides: the server counts changes of the spec in `generation`, kinds that
 * have none are compared by resource version, and metadata, which are not counted, are looked at.
 */
function isAsApplied(
  desired: DesiredObject,
  current: KubernetesObject,
  hash: string,
  applied: Applied | undefined,
): boolean {
  if (current.metadata.annotations?.[appliedAnnotation] !== hash) return false;
  const { metadata, ...rest } = desired;
  if (!holdsJson(current.metadata, metadata)) return false;
  if (holdsJson(current, rest)) return true;
  if (applied === undefined || applied.hash !== hash || applied.uid !== current.metadata.uid) return false;
  const { generation, resourceVersion } = current.metadata;
  return generation === undefined
    ? resourceVersion === applied.resourceVersion
    : generation === applied.generation;
}
