/**
 * What an artifact URI names. Each scheme has one grammar, and what does not fit it is refused with the form that would:
 * nothing in a URI is guessed at, decoded twice or normalised away. Pure.
 */
import { Failure } from '../termination.ts';

export type Location =
  | { readonly scheme: 'https' | 'http'; readonly url: string; readonly path: string }
  | { readonly scheme: 's3' | 'gs'; readonly bucket: string; readonly path: string }
  | {
      readonly scheme: 'oci';
      /** `host` or `host:port`. */
      readonly registry: string;
      readonly repository: string;
      /** A tag, or `sha256:<hex>`. */
      readonly reference: string;
    }
  | {
      readonly scheme: 'hf';
      /** `organisation/name`. */
      readonly repository: string;
      readonly revision: string;
      readonly path: string;
    }
  | { readonly scheme: 'pvc'; readonly claim: string; readonly path: string }
  | { readonly scheme: 'file'; readonly path: string };

export type Scheme = Location['scheme'];

const forms: Readonly<Record<Scheme, string>> = {
  https: 'https://host/path',
  http: 'http://host/path',
  s3: 's3://bucket/key',
  gs: 'gs://bucket/object',
  oci: 'oci://registry/repository:tag or oci://registry/repository@sha256:…',
  hf: 'hf://organisation/repository[@revision]/path',
  pvc: 'pvc://claim/path',
  file: 'file:///path',
};

const isScheme = (word: string): word is Scheme => Object.hasOwn(forms, word);

/**
 * @param allowed schemes besides `https`
 * @throws Failure ArtifactRefused, ArtifactUnsupported
 */
export function parseLocation(uri: string, allowed: readonly string[]): Location {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(uri)?.[1]?.toLowerCase();
  if (scheme === undefined) throw new Failure('ArtifactRefused', 'the artifact has no URI with a scheme');
  if (scheme !== 'https' && !allowed.includes(scheme)) {
    const list = [...new Set(['https', ...allowed])].join(', ');
    throw new Failure('ArtifactRefused', `${scheme} artifacts are not allowed here; allowed are ${list}`);
  }
  if (!isScheme(scheme))
    throw new Failure('ArtifactUnsupported', `${scheme} artifacts are not supported by this image`);
  if (uri.length > 2048 || /[\s\\]/.test(uri) || [...uri].some((letter) => letter < ' ' || letter === '\x7f'))
    throw malformed(uri, scheme);
  if (/^[a-z0-9]+:\/\/[^/?#]*@/i.test(uri)) throw withCredentials();
  return parsers[scheme](uri.slice(scheme.length + 1), uri);
}

type Parser = (rest: string, uri: string) => Location;

const parsers: Readonly<Record<Scheme, Parser>> = {
  https: (_, uri) => web('https', uri),
  http: (_, uri) => web('http', uri),
  s3: (rest, uri) => bucket('s3', /^\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(.+)$/, rest, uri),
  gs: (rest, uri) => bucket('gs', /^\/\/([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])\/(.+)$/, rest, uri),
  oci,
  hf,
  pvc: (rest, uri) => {
    const [, claim, path] = /^\/\/([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)\/(.+)$/.exec(rest) ?? [];
    if (claim === undefined || !isPlainPath(path)) throw malformed(uri, 'pvc');
    return { scheme: 'pvc', claim, path };
  },
  file: (rest, uri) => ({ scheme: 'file', path: filePath(rest, uri) }),
};

function web(scheme: 'https' | 'http', uri: string): Location {
  const url = URL.parse(uri);
  if (url === null || url.protocol !== `${scheme}:` || url.hostname === '') throw malformed(uri, scheme);
  // More slashes than two are one spelling of two.
  if (url.username !== '' || url.password !== '') throw withCredentials();
  return { scheme, url: url.href, path: url.pathname };
}

function bucket(scheme: 's3' | 'gs', pattern: RegExp, rest: string, uri: string): Location {
  const [, name, path] = pattern.exec(rest) ?? [];
  if (name === undefined || name.includes('..') || !isPlainPath(path)) throw malformed(uri, scheme);
  return { scheme, bucket: name, path };
}

const component = '[a-z0-9]+(?:(?:\\.|__?|-{1,8})[a-z0-9]+){0,32}';
const ociForm = new RegExp(
  `^//([^/@]{1,255})/(${component}(?:/${component}){0,16})(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127})|@(sha256:[0-9a-f]{64}))?$`,
);

function oci(rest: string, uri: string): Location {
  const [, registry, repository, tag, digest] = ociForm.exec(rest) ?? [];
  const host = registry === undefined ? null : URL.parse(`https://${registry}`);
  if (registry === undefined || repository === undefined || host === null || host.pathname !== '/')
    throw malformed(uri, 'oci');
  if (host.search !== '' || host.hash !== '') throw malformed(uri, 'oci');
  // Lower case, and numbers that mean an address as that address.
  return { scheme: 'oci', registry: host.host, repository, reference: digest ?? tag ?? 'latest' };
}

function hf(rest: string, uri: string): Location {
  const name = '[A-Za-z0-9][A-Za-z0-9._-]{0,95}';
  const pattern = new RegExp(`^//(${name}/${name})(?:@([A-Za-z0-9][A-Za-z0-9._%-]{0,127}))?/(.+)$`);
  const [, repository, revision = 'main', path] = pattern.exec(rest) ?? [];
  if (repository === undefined || !isPlainPath(path) || !isPlainPath(decoded(revision)))
    throw malformed(uri, 'hf');
  return { scheme: 'hf', repository, revision: decoded(revision) ?? 'main', path };
}

/** `file:a/b`, `file:/a/b`, `file://a/b` and `file:///a/b` all mean a/b below the root. */
function filePath(rest: string, uri: string): string {
  const path = decoded(rest.replace(/^\/+/, ''));
  if (path === undefined) throw malformed(uri, 'file');
  if (!isPlainPath(path)) {
    throw new Failure(
      'ArtifactRefused',
      `${JSON.stringify(uri)} does not name a file below the folder that files are served from`,
    );
  }
  return path;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Relative, and every segment names something: no `.`, `..` or nothing, which servers and clients would normalise away. */
export function isPlainPath(path: string | undefined): path is string {
  if (path === undefined || path === '' || path.includes('\0')) return false;
  return path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
}

/** A path as part of a URL, each segment escaped. */
export const escapePath = (path: string): string =>
  path
    .split('/')
    // The signature of S3 is made over these as well.
    .map((segment) => encodeURIComponent(segment).replace(/[!'()*]/g, (letter) => `%${hex(letter)}`))
    .join('/');

const hex = (letter: string): string => letter.charCodeAt(0).toString(16).toUpperCase();

const withCredentials = (): Failure =>
  new Failure('ArtifactRefused', 'a URI must not hold credentials; put them into a Secret');

function malformed(uri: string, scheme: Scheme): Failure {
  return new Failure(
    'ArtifactRefused',
    `${JSON.stringify(uri.slice(0, 200))} is not a valid URI; it has to look like ${forms[scheme]}`,
  );
}
