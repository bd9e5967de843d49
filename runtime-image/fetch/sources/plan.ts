/** What an artifact consists of, before anything of it is fetched. */
import type { Resource } from '../http-client.ts';

export type BlobKind = 'file' | 'tar' | 'zip';

/** One thing to fetch. */
export interface Blob {
  /** Where it goes in the model folder, with `/`; an archive is opened there, and `''` is the folder itself. */
  readonly path: string;
  readonly kind: BlobKind;
  /** Lower-case hex; undefined accepts any content. */
  readonly sha256?: string;
  /** Bytes, where the source says so before it is asked for; nothing is decided by it. */
  readonly bytes?: number;
  readonly from: Resource | LocalFile;
}

export interface LocalFile {
  /** Nothing outside this folder is opened. */
  readonly root: string;
  readonly path: string;
  /** The artifact's URI, for messages. */
  readonly uri: string;
}

export interface Plan {
  readonly blobs: readonly Blob[];
  /** What the artifact as a whole is known by, where that is not the content of its first blob: hex. */
  readonly digest?: string;
  /** Digest of the document that names the blobs, where there is one: hex. */
  readonly root?: string;
}

/** What the name of a file says about how to open it. */
export function kindOf(name: string): BlobKind {
  if (/\.(tar|tgz|tar\.gz|tar\.zst)$/i.test(name)) return 'tar';
  return /\.zip$/i.test(name) ? 'zip' : 'file';
}
