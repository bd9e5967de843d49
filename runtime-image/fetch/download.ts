/**
 * One resource into one file: continued after a break where the server can prove that its content is still the same,
 * begun again where it cannot, and in parallel parts where the content is large enough to be worth it.
 */
import type { Readable } from 'node:stream';
import { Failure } from '../termination.ts';
import {
  type Answer,
  type HttpClient,
  header,
  plain,
  RangeRefused,
  type Resource,
  Transient,
} from './http-client.ts';
import type { PartialFile } from './partial-file.ts';
import { downloadParts } from './parts.ts';
import { type RetryOptions, retrying } from './retry.ts';

export interface DownloadOptions extends RetryOptions {
  readonly client: HttpClient;
  /** Whether the content's digest is known, so that a wrong continuation cannot pass for the content. */
  readonly verified: boolean;
  /** Bytes from which parts are fetched in parallel, and the size of a part. */
  readonly partBytes?: number;
}

/** Small enough that a broken part costs little, large enough that a request for it costs nothing. */
const defaultPartBytes = 32 * 2 ** 20;
/** Parts from which it is worth asking for them in parallel. */
const minParts = 2;

/** Progress of one download over its tries. */
interface Download {
  readonly resource: Resource;
  readonly into: PartialFile;
  /** Of the content so far; a change means that the rest would not fit to it. */
  validator: string | undefined;
  total: number | undefined;
}

/** @throws Failure with the reason of the last try */
export async function download(
  resource: Resource,
  into: PartialFile,
  options: DownloadOptions,
): Promise<void> {
  const state: Download = { resource, into, validator: undefined, total: undefined };
  await retrying(
    resource.url,
    () => attempt(state, options),
    options,
    () => into.bytes,
  );
}

async function attempt(state: Download, options: DownloadOptions): Promise<void> {
  const { into, resource } = state;
  const answer = await open(state, options);
  const body: Readable = answer.body;
  // A body that is given up reports that as an error, and what matters has been thrown already.
  body.on('error', () => undefined);
  try {
    if (answer.statusCode === 206) {
      checkRange(answer, into.bytes);
    } else if (into.bytes > 0) {
      // The server has no ranges, or the content has changed.
      await into.restart();
      state.total = undefined;
    }
    checkEncoding(answer, resource);
    expectTotal(answer, state, options.verified);
    if (await inParts(answer, state, options)) return;
    for await (const chunk of body) await into.write(chunk as Buffer);
    if (state.total !== undefined && into.bytes !== state.total) {
      throw new Transient(`the body ended after ${into.bytes} of ${state.total} bytes`);
    }
  } finally {
    body.destroy();
  }
}

async function open({ resource, into, validator }: Download, { client }: DownloadOptions): Promise<Answer> {
  const continued = into.bytes > 0 && validator !== undefined;
  try {
    return await client.open(
      resource,
      continued ? { range: `bytes=${into.bytes}-`, 'if-range': validator } : {},
    );
  } catch (thrown) {
    if (thrown instanceof RangeRefused) await into.restart();
    throw thrown;
  }
}

/** Fetches the content in parallel parts, if it is large and the server can do so. */
async function inParts(answer: Answer, state: Download, options: DownloadOptions): Promise<boolean> {
  const { resource, into, total } = state;
  const partBytes = options.partBytes ?? defaultPartBytes;
  const tag = strongTag(answer);
  if (answer.statusCode !== 200 || tag === undefined || total === undefined) return false;
  if (header(answer, 'accept-ranges')?.toLowerCase() !== 'bytes' || total < minParts * partBytes)
    return false;
  answer.body.destroy();
  await downloadParts({ resource, into, total, tag, partBytes }, options);
  return true;
}

function expectTotal(answer: Answer, state: Download, verified: boolean): void {
  const length = header(answer, 'content-length');
  if (length !== undefined) {
    // A part may be shorter than what was asked for; the rest is asked for again.
    const total = wholeOf(answer) ?? state.into.bytes + Number(length);
    state.into.expect(total);
    state.total = total;
  }
  // A time has the resolution of a second, in which content can change: it will do only where the digest decides anyway.
  state.validator = strongTag(answer) ?? (verified ? header(answer, 'last-modified') : undefined);
}

/** Bytes of the content that an answer has a part of, if it says so. */
function wholeOf(answer: Answer): number | undefined {
  const whole = /^bytes \d+-\d+\/(\d+)$/.exec(header(answer, 'content-range') ?? '')?.[1];
  return answer.statusCode === 206 && whole !== undefined ? Number(whole) : undefined;
}

/** An entity tag that promises equal bytes, which a weak one does not. */
function strongTag(answer: Answer): string | undefined {
  const tag = header(answer, 'etag');
  return tag !== undefined && /^"[^"]*"$/.test(tag) ? tag : undefined;
}

export function checkEncoding(answer: Answer, resource: Resource): void {
  const encoding = header(answer, 'content-encoding') ?? 'identity';
  if (encoding !== 'identity')
    throw new Failure('ArtifactCorrupt', `${plain(resource.url)} answers with content encoding ${encoding}`);
}

export function checkRange(answer: Answer, from: number): void {
  const range = /^bytes (\d+)-(\d+)\//.exec(header(answer, 'content-range') ?? '');
  if (Number(range?.[1] ?? Number.NaN) !== from) {
    throw new Failure(
      'ArtifactCorrupt',
      `asked to continue at byte ${from}, the server sent ${header(answer, 'content-range')}`,
    );
  }
}
