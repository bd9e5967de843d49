/**
 * Fetches a version's artifact into the model folder and verifies it: `fetch`, the init container of a version's pod.
 *
 * The room holds the sources (https, http, file), the address policy, and the store. It must not load the model: what
 * is fetched is bytes, and the only thing it may claim of them is their digest.
 */
import type { TerminationMessage } from '#contract';
import { createLogger, type Logger } from '../logger.ts';
import { Failure, writeTermination } from '../termination.ts';
import { PrivateHosts } from './address-policy.ts';
import { type FetchConfig, readConfig } from './config.ts';
import { createAgent } from './connector.ts';
import { fetchFile } from './file-source.ts';
import { fetchHttp } from './http-source.ts';
import { findStored, Partial, type Stored } from './store.ts';

const progressMs = 5000;

/** Resolves when the artifact lies verified in the model folder. @throws Failure */
export async function main(): Promise<void> {
  const logger = createLogger('fetch');
  const began = performance.now();
  const config = readConfig(process.env);
  const reused = await findStored(config.modelDir, config.uri, config.sha256);
  const stored = reused ?? (await fetchArtifact(config, logger));
  const seconds = Number(((performance.now() - began) / 1000).toFixed(3));
  const message: TerminationMessage = { ok: true, ...stored, seconds };
  logger.info(reused === undefined ? 'fetched and verified' : 'already here and verified', message);
  writeTermination(message);
}

/** @throws Failure */
export async function fetchArtifact(config: FetchConfig, logger: Logger): Promise<Stored> {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(config.uri)?.[1]?.toLowerCase();
  if (scheme === undefined) throw new Failure('ArtifactRefused', 'the artifact has no URI with a scheme');
  if (scheme !== 'https' && !config.schemes.includes(scheme)) {
    const allowed = ['https', ...config.schemes].join(', ');
    throw new Failure('ArtifactRefused', `${scheme} artifacts are not allowed here; allowed are ${allowed}`);
  }
  const partial = await Partial.create(config.modelDir, config.maxBytes);
  let total: number | undefined;
  const timer = setInterval(() => {
    logger.info('fetching', { bytes: partial.bytes, ...(total === undefined ? {} : { total }) });
  }, progressMs);
  try {
    await transfer(scheme, config, partial, logger, (bytes) => {
      total = bytes;
    });
    return await partial.commit(config.uri, config.sha256);
  } finally {
    clearInterval(timer);
    await partial.discard();
  }
}

async function transfer(
  scheme: string,
  config: FetchConfig,
  into: Partial,
  logger: Logger,
  onTotal: (bytes: number) => void,
): Promise<void> {
  switch (scheme) {
    case 'file':
      return fetchFile(config.uri, config.fileRoot, into);
    case 'http':
    case 'https': {
      const dispatcher = createAgent(new PrivateHosts(config.privateHosts));
      try {
        return await fetchHttp(config.uri, into, {
          dispatcher,
          http: config.schemes.includes('http'),
          authorization: config.authorization,
          maxBytes: config.maxBytes,
          onTotal,
          onRetry: (why) => logger.warn('trying again', { why }),
        });
      } finally {
        await dispatcher.close();
      }
    }
    default:
      throw new Failure('ArtifactRefused', `${scheme} artifacts are not supported by this image`);
  }
}
