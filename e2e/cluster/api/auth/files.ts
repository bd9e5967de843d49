/** The data directory: certificates, the service-account key, and the administrator's kubeconfig. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { createAuthority, type Identity } from '../../assets/certificates.ts';

export interface Credentials {
  readonly ca: string;
  readonly server: Identity;
  /** What the API server shows to kubelets. */
  readonly kubeletClient: Identity;
  readonly serviceAccountKey: KeyObject;
  readonly serviceAccountPublicKey: KeyObject;
}

interface Saved {
  readonly hosts: string[];
  readonly ca: Identity;
  readonly server: Identity;
  readonly kubeletClient: Identity;
  readonly serviceAccountKey: string;
}

/** Files of another layout, or for other hosts, are made anew. */
function isUsable(read: Partial<Saved>, hosts: readonly string[]): read is Saved {
  const identities = [read.ca, read.server, read.kubeletClient];
  if (!identities.every((each) => each?.cert && each.key) || !read.serviceAccountKey) return false;
  return hosts.every((host) => read.hosts?.includes(host));
}

/** Reads the credentials of an earlier start with the same hosts, or makes new ones. All files are private. */
export function loadCredentials(dataDir: string, hosts: readonly string[]): Credentials {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const file = join(dataDir, 'credentials.json');
  let saved: Saved | undefined;
  if (existsSync(file)) {
    const read = JSON.parse(readFileSync(file, 'utf8')) as Partial<Saved>;
    if (isUsable(read, hosts)) saved = read;
  }
  if (!saved) {
    const authority = createAuthority('sluice-local-ca');
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    saved = {
      hosts: [...hosts],
      ca: { cert: authority.cert, key: authority.key },
      server: authority.issue({
        commonName: 'kube-apiserver',
        dnsNames: hosts.filter((host) => !isIPv4(host)),
        addresses: hosts.filter((host) => isIPv4(host)),
      }),
      kubeletClient: authority.issue({
        commonName: 'kube-apiserver-kubelet-client',
        organization: 'system:masters',
      }),
      serviceAccountKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    };
    writeFileSync(file, JSON.stringify(saved), { mode: 0o600 });
    writeFileSync(join(dataDir, 'ca.crt'), saved.ca.cert);
  }
  const serviceAccountKey = createPrivateKey(saved.serviceAccountKey);
  return {
    ca: saved.ca.cert,
    server: saved.server,
    kubeletClient: saved.kubeletClient,
    serviceAccountKey,
    serviceAccountPublicKey: createPublicKey(serviceAccountKey),
  };
}

/** Writes a kubeconfig that holds a bearer token. */
export function writeKubeconfig(
  file: string,
  options: { server: string; ca: string; user: string; token: string },
): void {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'sluice',
        cluster: {
          server: options.server,
          'certificate-authority-data': Buffer.from(options.ca).toString('base64'),
        },
      },
    ],
    users: [{ name: options.user, user: { token: options.token } }],
    contexts: [{ name: 'sluice', context: { cluster: 'sluice', user: options.user } }],
    'current-context': 'sluice',
  };
  writeFileSync(file, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
}
