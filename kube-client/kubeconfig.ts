/**
 * Reading kubeconfig files and the files of a pod's service account.
 *
 * Ours, and not client-node's, for two reasons: its reader drops the `tokenFile` of a user, and importing it
 * costs 0.9 s and 88 MB in every process. It is loaded only for users with an `exec` or `auth-provider` plugin.
 */
import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { parse } from 'yaml';

/** Content given in place, or a file that is read again when it changes. */
export type Source = { readonly data: string } | { readonly file: string };

/** Everything needed to reach and to be known to one API server. */
export interface Access {
  /** `https://host:port`, maybe with a path. */
  readonly server: string;
  /** Namespace of the context. */
  readonly namespace?: string;
  readonly ca?: Source;
  readonly cert?: Source;
  readonly key?: Source;
  readonly token?: Source;
  readonly basic?: { readonly username: string; readonly password: string };
  readonly impersonate?: string;
  readonly serverName?: string;
  readonly proxy?: string;
  readonly insecure?: boolean;
  /** Set when credentials come from a plugin: the kubeconfig as YAML, for client-node. */
  readonly plugin?: string;
}

const serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The access that a file describes, else that of `$KUBECONFIG`, `~/.kube/config` or the pod's service account, in this order.
 * @throws Error naming the file and what is wrong with it, or that nothing was found.
 */
export function loadAccess(file?: string, environment: NodeJS.ProcessEnv = process.env): Access {
  if (file !== undefined) return fromKubeconfig([file]);
  const named = (environment['KUBECONFIG'] ?? '').split(delimiter).filter((path) => path !== '');
  if (named.length > 0) return fromKubeconfig(named);
  const home = join(environment['HOME'] ?? homedir(), '.kube', 'config');
  if (exists(home)) return fromKubeconfig([home]);
  const host = environment['KUBERNETES_SERVICE_HOST'];
  if (host && exists(`${serviceAccount}/token`)) {
    return fromPod(host, environment['KUBERNETES_SERVICE_PORT'] ?? '443');
  }
  throw new Error(
    'no Kubernetes API configured: set KUBECONFIG, or run in a pod that mounts a service account token',
  );
}

function fromPod(host: string, port: string): Access {
  const namespace = `${serviceAccount}/namespace`;
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    ca: { file: `${serviceAccount}/ca.crt` },
    token: { file: `${serviceAccount}/token` },
    ...(exists(namespace) ? { namespace: readFileSync(namespace, 'utf8').trim() } : {}),
  };
}

type Fields = Readonly<Record<string, unknown>>;
interface Entry {
  readonly fields: Fields;
  /** Folder of the file that holds the entry: relative paths start there. */
  readonly folder: string;
}

function fromKubeconfig(files: readonly string[]): Access {
  const entries = {
    clusters: new Map<string, Entry>(),
    users: new Map<string, Entry>(),
    contexts: new Map<string, Entry>(),
  };
  let current: string | undefined;
  for (const file of files) {
    const document = readYaml(file);
    current ??= text(document, 'current-context');
    // The first file that names an entry wins, as with kubectl.
    for (const [list, inner] of [
      ['clusters', 'cluster'],
      ['users', 'user'],
      ['contexts', 'context'],
    ] as const) {
      for (const item of array(document[list])) {
        const name = text(item, 'name');
        if (name === undefined || entries[list].has(name)) continue;
        entries[list].set(name, { fields: record(item[inner]), folder: dirname(file) });
      }
    }
  }
  const where = files.join(', ');
  const context = find(entries.contexts, current, `context of current-context in ${where}`).fields;
  const cluster = find(
    entries.clusters,
    text(context, 'cluster'),
    `cluster of context ${current} in ${where}`,
  );
  const userName = text(context, 'user');
  const user = entries.users.get(userName ?? '') ?? { fields: {}, folder: '.' };
  const server = text(cluster.fields, 'server');
  if (server === undefined) throw new Error(`cluster of context ${current} in ${where} has no server`);
  const token = text(user.fields, 'token');
  return withoutUndefined({
    server,
    namespace: text(context, 'namespace'),
    ca: source(cluster, 'certificate-authority'),
    insecure: cluster.fields['insecure-skip-tls-verify'] === true ? true : undefined,
    serverName: text(cluster.fields, 'tls-server-name'),
    proxy: text(cluster.fields, 'proxy-url'),
    cert: source(user, 'client-certificate'),
    key: source(user, 'client-key'),
    // kubectl prefers the file, because that one is renewed.
    token: filePath(user, 'tokenFile') ?? (token === undefined ? undefined : { data: token }),
    basic: basic(user.fields),
    impersonate: text(user.fields, 'as'),
    plugin:
      user.fields['exec'] || user.fields['auth-provider']
        ? pluginConfig(cluster.fields, user.fields)
        : undefined,
  });
}

/**
 * A kubeconfig of one context as JSON (which is YAML), for client-node's plugins. It does not verify, since it never
 * connects: client-node only refuses to look at http servers otherwise.
 */
function pluginConfig(cluster: Fields, user: Fields): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'it',
    clusters: [{ name: 'it', cluster: { server: cluster['server'], 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'it', user: { exec: user['exec'], 'auth-provider': user['auth-provider'] } }],
    contexts: [{ name: 'it', context: { cluster: 'it', user: 'it' } }],
  });
}

function source(entry: Entry, field: string): Source | undefined {
  const data = text(entry.fields, `${field}-data`);
  if (data !== undefined) return { data: Buffer.from(data, 'base64').toString('utf8') };
  return filePath(entry, field);
}

function filePath(entry: Entry, field: string): { file: string } | undefined {
  const file = text(entry.fields, field);
  return file === undefined ? undefined : { file: isAbsolute(file) ? file : join(entry.folder, file) };
}

function basic(user: Fields): Access['basic'] {
  const username = text(user, 'username');
  return username === undefined ? undefined : { username, password: text(user, 'password') ?? '' };
}

function readYaml(file: string): Fields {
  try {
    return record(parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new Error(`cannot read kubeconfig ${file}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}

function find(entries: ReadonlyMap<string, Entry>, name: string | undefined, what: string): Entry {
  const entry = name === undefined ? undefined : entries.get(name);
  if (entry === undefined)
    throw new Error(`no ${what}: ${name === undefined ? 'it is not set' : `"${name}" is not defined`}`);
  return entry;
}

function text(fields: Fields, field: string): string | undefined {
  const value = fields[field];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function record(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function array(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(record) : [];
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(value: T): Defined<T> & { server: string } {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as Defined<T> & {
    server: string;
  };
}
