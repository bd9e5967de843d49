/**
 * Fetches a version's artifact into the model folder and verifies it: `fetch`, the init container of a version's pod.
 *
 * The room holds the sources (one for each scheme), the address policy, archives, the cache and the store. It must not
 * load the model: what is fetched is bytes, and the only thing it may claim of them is their digest.
 */
import type { ArtifactRecord, TerminationMessage } from '#contract';
import { createLogger, type Logger } from '../logger.ts';
import { writeTermination } from '../termination.ts';
import { type FetchConfig, readConfig } from './config.ts';
import { fetchArtifact } from './fetch-artifact.ts';
import { Progress } from './progress.ts';
import { serveProgress } from './progress-server.ts';
import { findStored } from './store.ts';

/** Resolves when the artifact lies verified in the model folder. @throws Failure */
export async function main(): Promise<void> {
  const logger = createLogger('fetch');
  const began = performance.now();
  const config = readConfig(process.env);
  const reused = await findStored(config.modelDir, config);
  const { digest, files } = reused ?? (await fetched(config, logger));
  const message: TerminationMessage = {
    ok: true,
    digest,
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    seconds: Number(((performance.now() - began) / 1000).toFixed(3)),
  };
  logger.info(reused === undefined ? 'fetched and verified' : 'already here and verified', {
    ...message,
    files: files.length,
  });
  writeTermination(message);
}

async function fetched(config: FetchConfig, logger: Logger): Promise<ArtifactRecord> {
  const progress = new Progress();
  const stop =
    config.metrics === undefined ? undefined : await serveProgress(progress, config.metrics, logger);
  try {
    return await fetchArtifact(config, logger, progress);
  } finally {
    stop?.();
  }
}
