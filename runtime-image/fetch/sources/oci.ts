/**
 * `oci:` artifacts: the manifest, found through an index where there is one, and its layers. Understood are what ORAS
 * pushes (layers named by a title), the CNCF's ModelPack, and layers of container images.
 */
import { createHash } from 'node:crypto';
import { Failure } from '../../termination.ts';
import type { Cache } from '../cache.ts';
import type { Credentials } from '../credentials.ts';
import { type HttpClient, plain, type Resource } from '../http-client.ts';
import { isPlainPath, type Location } from '../location.ts';
import { isReserved } from '../store.ts';
import { RegistryAuthority } from './oci-authority.ts';
import { type Blob, type BlobKind, kindOf, type Plan } from './plan.ts';

const indexTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const manifestTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
/** What registries themselves allow. */
const maxManifestBytes = 4 * 2 ** 20;
const maxLayers = 256;

export interface OciArtifact {
  readonly location: Extract<Location, { scheme: 'oci' }>;
  readonly credentials: Credentials;
  readonly client: HttpClient;
  /** Whether the registry is spoken to in clear text. */
  readonly clearText: boolean;
  /** Of the manifest or of the only file; hex. */
  readonly sha256: string | undefined;
  /** Manifest that a tag meant before; hex. */
  readonly remembered?: string | undefined;
  readonly cache?: Pick<Cache, 'document' | 'add'> | undefined;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes, as the manifest says. */
  readonly size: number | undefined;
  readonly platform: unknown;
  readonly annotations: Readonly<Record<string, string>>;
}

/** @throws Failure, Transient, or what a connection threw */
export async function ociPlan(artifact: OciArtifact): Promise<Plan> {
  const { location, clearText, sha256 } = artifact;
  // The one registry whose name is not its host's.
  const host = location.registry === 'docker.io' ? 'registry-1.docker.io' : location.registry;
  const base = `${clearText ? 'http' : 'https'}://${host}/v2/${location.repository}`;
  const authority = new RegistryAuthority(artifact);
  const { remembered } = artifact;
  const reference = remembered === undefined ? location.reference : `sha256:${remembered}`;
  let manifest = await findManifest(artifact, authority, `${base}/manifests/`, reference);
  const first = manifest.digest;
  if (manifest.isIndex) {
    const { digest } = choose(manifest.list('manifests'));
    manifest = await findManifest(artifact, authority, `${base}/manifests/`, digest);
    if (manifest.isIndex) throw new Failure('ArtifactUnsupported', 'the index leads to another index');
  }
  const blobs = blobsOf(manifest.list('layers'), (digest) => authority.resource(`${base}/blobs/${digest}`));
  const [only] = blobs;
  const known = [first, manifest.digest, ...(blobs.length === 1 && only?.sha256 ? [only.sha256] : [])];
  if (sha256 !== undefined && !known.includes(sha256)) {
    throw new Failure(
      'ArtifactCorrupt',
      `the artifact's SHA-256 is ${first} (its manifest's digest); it has to be ${sha256}`,
    );
  }
  return { blobs, digest: sha256 ?? first, root: first };
}

/** Where each layer goes. @throws Failure ArtifactUnsupported, ArtifactUnsafe */
function blobsOf(layers: readonly Descriptor[], at: (digest: string) => Resource): Blob[] {
  const wanted = layers.filter(({ mediaType }) => !isAside(mediaType));
  if (wanted.length === 0) throw new Failure('ArtifactUnsupported', 'the manifest has no layer with a model');
  const blobs = wanted.map((layer) => {
    const path =
      layer.annotations['org.opencontainers.image.title'] ?? layer.annotations['org.cncf.model.filepath'];
    const kind = layerKind(layer, path);
    if (path !== undefined && path !== '.' && (!isPlainPath(path) || isReserved(path))) {
      throw new Failure('ArtifactUnsafe', `a layer's title is ${JSON.stringify(String(path).slice(0, 200))}`);
    }
    // A folder that ORAS packed carries its own name in the names of its entries.
    const place = kind === 'file' ? (path ?? 'model.onnx') : '';
    return {
      path: place,
      kind,
      sha256: hexOf(layer.digest),
      ...(layer.size === undefined ? {} : { bytes: layer.size }),
      from: at(layer.digest),
    };
  });
  const files = blobs.filter(({ kind }) => kind === 'file');
  if (blobs.length === 1 && files.length === 1) return blobs.map((blob) => ({ ...blob, path: 'model.onnx' }));
  if (new Set(files.map(({ path }) => path)).size < files.length)
    throw new Failure('ArtifactUnsupported', 'two layers of the manifest have the same title');
  return blobs;
}

/** ModelPack's parts that are not the model. */
const isAside = (mediaType: string): boolean =>
  /^application\/vnd\.cncf\.model\.(doc|code|dataset)\./.test(mediaType);

function layerKind({ mediaType, annotations }: Descriptor, title: string | undefined): BlobKind {
  if (/\.(encrypted|foreign|nondistributable)\b|\+encrypted$/.test(mediaType))
    throw new Failure('ArtifactUnsupported', `layers of type ${mediaType.slice(0, 200)} are not supported`);
  if (annotations['io.deis.oras.content.unpack'] === 'true') return 'tar';
  if (/[./]tar(\.gzip|\.zstd|\+gzip|\+zstd)?$/.test(mediaType) && !mediaType.endsWith('.raw')) {
    // ORAS gives everything this type unless it is told another.
    const isImageLayer = /\.image\.(layer|rootfs)\./.test(mediaType);
    return isImageLayer && title !== undefined ? kindOf(title) : 'tar';
  }
  return kindOf(title ?? '');
}

/** The one for this machine, or the only one. */
function choose(manifests: readonly Descriptor[]): Descriptor {
  const real = manifests.filter(
    ({ annotations }) => annotations['vnd.docker.reference.type'] !== 'attestation-manifest',
  );
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const fitting = real.find(({ platform }) => {
    const { os, architecture: of } = (platform ?? {}) as { os?: unknown; architecture?: unknown };
    return os === 'linux' && of === architecture;
  });
  const chosen = fitting ?? (real.length === 1 ? real[0] : undefined);
  if (chosen === undefined) {
    throw new Failure(
      'ArtifactUnsupported',
      `the index has ${real.length} manifests and none for linux/${architecture}; name one by its digest`,
    );
  }
  return chosen;
}

class Manifest {
  readonly digest: string;
  readonly isIndex: boolean;
  readonly #fields: Readonly<Record<string, unknown>>;

  /** @param contentType what the registry said; the type in the manifest itself is believed more */
  constructor(content: Buffer, contentType = '') {
    this.digest = createHash('sha256').update(content).digest('hex');
    this.#fields = parse(content);
    const said = this.#fields['mediaType'];
    const guessed = Array.isArray(this.#fields['manifests']) ? indexTypes[0] : manifestTypes[0];
    const type = typeof said === 'string' ? said : contentType || (guessed ?? '');
    if (![...indexTypes, ...manifestTypes].includes(type)) {
      throw new Failure(
        'ArtifactUnsupported',
        `the registry sent a manifest of type ${JSON.stringify(type.slice(0, 200))}`,
      );
    }
    this.isIndex = indexTypes.includes(type);
  }

  /** @throws Failure ArtifactCorrupt */
  list(field: 'layers' | 'manifests'): Descriptor[] {
    const items = this.#fields[field];
    if (!Array.isArray(items)) throw new Failure('ArtifactCorrupt', `the manifest has no ${field}`);
    if (items.length > maxLayers)
      throw new Failure('ArtifactUnsupported', `the manifest has more than ${maxLayers} ${field}`);
    return items.map((item) => {
      const { mediaType, digest, size, platform, annotations } = (item ?? {}) as Record<string, unknown>;
      if (
        typeof digest !== 'string' ||
        typeof mediaType !== 'string' ||
        !/^sha256:[0-9a-f]{64}$/.test(digest)
      )
        throw new Failure('ArtifactCorrupt', `the manifest's ${field} have no SHA-256 digests`);
      return {
        mediaType,
        digest,
        size: typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : undefined,
        platform,
        annotations: strings(annotations),
      };
    });
  }
}

function parse(content: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(content.toString('utf8'));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw new Failure('ArtifactCorrupt', 'the manifest is not a JSON object');
}

function strings(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(Object.entries(value).filter(([, text]) => typeof text === 'string'));
}

/** From the cache, when the digest is known and it is there; else from the registry. */
async function findManifest(
  artifact: OciArtifact,
  authority: RegistryAuthority,
  base: string,
  reference: string,
): Promise<Manifest> {
  const { cache, sha256 } = artifact;
  const digest = reference.startsWith('sha256:') ? hexOf(reference) : sha256;
  const cached = digest === undefined ? undefined : await cache?.document(digest, maxManifestBytes);
  // What has the wanted digest may be the only file and not the manifest.
  if (cached !== undefined && (reference.startsWith('sha256:') || looksLikeManifest(cached)))
    return new Manifest(cached);
  return fetchManifest(artifact, authority, base, reference);
}

const looksLikeManifest = (content: Buffer): boolean =>
  content[0] === 0x7b && content.includes('"mediaType"');

async function fetchManifest(
  { client, cache }: OciArtifact,
  authority: RegistryAuthority,
  base: string,
  reference: string,
): Promise<Manifest> {
  const url = `${base}${reference}`;
  const accept = [...manifestTypes, ...indexTypes].join(', ');
  const answer = await client.open(authority.resource(url, { accept }));
  const type = String(answer.headers['content-type'] ?? '').split(';', 1)[0] ?? '';
  const content = await client.document(answer, maxManifestBytes, plain(url));
  const manifest = new Manifest(content, type.trim());
  if (reference.startsWith('sha256:') && manifest.digest !== hexOf(reference)) {
    throw new Failure(
      'ArtifactCorrupt',
      `the manifest's SHA-256 is ${manifest.digest}; it has to be ${hexOf(reference)}`,
    );
  }
  await cache?.add(manifest.digest, content);
  return manifest;
}

const hexOf = (digest: string): string => digest.replace(/^sha256:/, '');
