import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import type { Identity } from './certificates.ts';

/** Writes a kubeconfig (mode 0600) for a client that is known by its certificate. */
export function writeKubeconfig(path: string, server: string, ca: string, client: Identity): void {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'sluice', cluster: { server, 'certificate-authority-data': base64(ca) } }],
    users: [
      {
        name: 'admin',
        user: { 'client-certificate-data': base64(client.cert), 'client-key-data': base64(client.key) },
      },
    ],
    contexts: [{ name: 'sluice', context: { cluster: 'sluice', user: 'admin' } }],
    'current-context': 'sluice',
  };
  writeFileSync(path, stringify(config), { mode: 0o600 });
}
