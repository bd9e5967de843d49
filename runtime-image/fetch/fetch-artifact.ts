/** One artifact, from its URI to the model folder: plan, get each blob, verify, open archives, commit. */
import { type ArtifactFile, type ArtifactRecord, modelFile } from '#contract';
import type { Logger } from '../logger.ts';
import { Failure } from '../termination.ts';
import { PrivateHosts } from './address-policy.ts';
import { openArchive } from './archives/open.ts';
import { Cache, type Remembered } from './cache.ts';
import type { FetchConfig } from './config.ts';
import { createAgent } from './connector.ts';
import { download } from './download.ts';
import { HttpClient } from './http-client.ts';
import type { Sealed } from './partial-file.ts';
import { locate, plan } from './planner.ts';
import { Progress } from './progress.ts';
import { retrying } from './retry.ts';
import { copyLocal } from './sources/local.ts';
import type { Blob, Plan } from './sources/plan.ts';
import { Staging } from './store.ts';

const progressMs = 5000;

interface Fetching {
  readonly config: FetchConfig;
  readonly client: HttpClient;
  readonly cache: Cache | undefined;
  readonly staging: Staging;
  readonly logger: Logger;
  readonly progress: Progress;
  network: boolean;
}

/** @throws Failure */
export async function fetchArtifact(
  config: FetchConfig,
  logger: Logger,
  progress = new Progress(),
): Promise<ArtifactRecord> {
  const location = locate(config);
  const privateHosts = new PrivateHosts(config.privateHosts);
  const { authorities } = config.credentials;
  const dispatcher = createAgent({ privateHosts, authorities });
  const client = new HttpClient({ dispatcher, privateHosts, http: config.schemes.includes('http') });
  const staging = await Staging.create(config.modelDir, config.maxBytes);
  const warn = (why: string) => logger.warn(why);
  const cache = config.cacheDir === undefined ? undefined : await Cache.open(config.cacheDir, warn);
  const fetching: Fetching = { config, client, cache, staging, logger, progress, network: false };
  const timer = setInterval(() => logger.info('fetching', progressLine(progress)), progressMs);
  try {
    const { uri, owner, sha256 } = config;
    const recalls = sha256 === undefined && owner !== undefined;
    const remembered = recalls ? await cache?.recall(owner, uri) : undefined;
    const planner = { config, client, privateHosts, cache, remembered, now: () => Date.now() / 1000 };
    const planned = await retrying(uri, () => plan(location, planner), {
      onRetry: (why) => logger.warn('trying again', { why }),
    });
    const { sealed, files } = await fetchAll(planned, fetching);
    const digest = planned.digest ?? sealed[0]?.sha256 ?? '';
    const record = await staging.commit(uri, digest, files);
    if (recalls && fetching.network)
      await cache?.remember(owner, uri, memoryOf(planned, sealed, planned.root ?? digest));
    return record;
  } finally {
    clearInterval(timer);
    await staging.discard();
    await dispatcher.destroy();
  }
}

function memoryOf(planned: Plan, sealed: readonly Sealed[], digest: string): Remembered {
  const beside = planned.root === undefined ? planned.blobs.slice(1) : [];
  return {
    digest,
    files: Object.fromEntries(beside.map(({ path }, index) => [path, sealed[index + 1]?.sha256 ?? ''])),
  };
}

async function fetchAll({ blobs }: Plan, fetching: Fetching) {
  const sealed: Sealed[] = [];
  const files: ArtifactFile[] = [];
  for (const blob of blobs) {
    const [seal, written] = await fetchBlob(blob, blobs, fetching);
    sealed.push(seal);
    files.push(...written);
  }
  return { sealed, files };
}

async function fetchBlob(
  blob: Blob,
  blobs: readonly Blob[],
  fetching: Fetching,
): Promise<[Sealed, readonly ArtifactFile[]]> {
  const { staging, cache, progress } = fetching;
  const { kind } = blob;
  const file = kind === 'file' ? await staging.file(blob.path) : await staging.temporary();
  progress.begin(file, blob, blobs.slice(blobs.indexOf(blob) + 1));
  const cached = blob.sha256 !== undefined && ((await cache?.read(blob.sha256, file)) ?? false);
  if (!cached) await transfer(blob, file, fetching);
  const seal = await file.seal();
  progress.end();
  if (blob.sha256 !== undefined && seal.sha256 !== blob.sha256) {
    const which = blobs.length === 1 || blob.path === modelFile ? "the artifact's" : `${blob.path}'s`;
    throw new Failure('ArtifactCorrupt', `${which} SHA-256 is ${seal.sha256}; it has to be ${blob.sha256}`);
  }
  if (!cached && !('root' in blob.from)) await cache?.add(seal.sha256, file.path);
  if (kind === 'file') return [seal, [{ path: blob.path, ...seal }]];
  const files = await openArchive(kind, file.path, staging.content, staging.budget);
  await staging.remove(file);
  return [seal, files];
}

async function transfer(
  { from, sha256 }: Blob,
  into: Awaited<ReturnType<Staging['file']>>,
  fetching: Fetching,
): Promise<void> {
  const { client, logger } = fetching;
  if ('root' in from) return copyLocal(from, into);
  fetching.network = true;
  await download(from, into, {
    client,
    verified: sha256 !== undefined,
    onRetry: (why) => logger.warn('trying again', { why }),
  });
}

function progressLine({ fetchedBytes, sizeBytes }: Progress): object {
  if (sizeBytes === undefined || sizeBytes === 0) return { bytes: fetchedBytes };
  return { bytes: fetchedBytes, total: sizeBytes, percent: Math.floor((100 * fetchedBytes) / sizeBytes) };
}
