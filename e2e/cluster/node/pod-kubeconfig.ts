/** Kubeconfigs for processes in pods, which look for their token in a place that only a container has. */
import type { PodKubeconfig } from './context.ts';

/** @param server URL that pods reach the API server at. @param ca its CA certificate, PEM. */
export function podKubeconfigOf(server: string, ca: string): PodKubeconfig {
  return ({ tokenFile, namespace }) =>
    // JSON is YAML.
    `${JSON.stringify(
      {
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [
          {
            name: 'cluster',
            cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') },
          },
        ],
        users: [{ name: 'pod', user: { tokenFile } }],
        contexts: [{ name: 'pod', context: { cluster: 'cluster', user: 'pod', namespace } }],
        'current-context': 'pod',
      },
      undefined,
      2,
    )}\n`;
}
