/** Sluice in a cluster, by its chart and the real Helm. */
import { resources } from '../../../kube-client/resources.ts';
import type { Service } from './kinds.ts';
import { startRegistry } from './registry-pod.ts';
import { images, repository, type Session } from './session.ts';

export const chart = `${repository}charts/sluice`;
export const systemNamespace = 'sluice-system';
export const release = 'sluice';
export const operatorName = `${release}-operator`;

export class Installation {
  /** Answers plain text over HTTP, at an address that artifacts may have: a model it is not. */
  readonly textUrl: string;
  /** `host:port` of an OCI registry, which artifacts may come from. */
  readonly registry: string;
  readonly #session: Session;
  readonly #values: readonly string[];

  private constructor(session: Session, textUrl: string, registry: string) {
    this.#session = session;
    this.textUrl = textUrl;
    this.registry = registry;
    this.#values = [
      ...imageValues('operator', images.operator),
      ...imageValues('runtime', images.runtime),
      '--set=artifacts.schemes={https,http,oci,file}',
      '--set=gatewayApi.enabled=true',
      `--set=artifacts.privateHosts={${new URL(textUrl).host},http://${registry}}`,
    ];
  }

  /** Makes what the values of the installation name. */
  static async prepare(session: Session): Promise<Installation> {
    const { client } = session;
    await client.create(resources.namespaces, undefined, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: systemNamespace, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    });
    // The chart has such a Service too, but its address must be known before the chart is installed.
    const service = await client.create<Service>(resources.services, systemNamespace, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'text-over-http' },
      spec: {
        selector: { 'app.kubernetes.io/instance': release, 'app.kubernetes.io/component': 'operator' },
        ports: [{ name: 'http', port: 8080, targetPort: 'metrics' }],
      },
    });
    const registry = await startRegistry(session, systemNamespace);
    return new Installation(session, `http://${service.spec.clusterIP}:8080/metrics`, registry);
  }

  /** `helm install` or `helm upgrade` with `--wait`. */
  async helm(command: 'install' | 'upgrade', ...values: readonly string[]): Promise<void> {
    await this.#session.shell.helm([
      ...[command, release, chart, '--namespace', systemNamespace, '--wait', '--timeout=120s'],
      ...this.#values,
      ...values,
    ]);
  }

  async uninstall(): Promise<void> {
    await this.#session.shell.helm(['uninstall', release, '-n', systemNamespace, '--wait', '--timeout=60s']);
  }
}

function imageValues(key: 'operator' | 'runtime', reference: string): string[] {
  const [name = '', digest = ''] = reference.split('@');
  const colon = name.lastIndexOf(':');
  const tagged = colon > name.lastIndexOf('/');
  const [path, tag] = tagged ? [name.slice(0, colon), name.slice(colon + 1)] : [name, ''];
  return [
    `--set-string=${key}.image.repository=${path},${key}.image.tag=${tag},${key}.image.digest=${digest}`,
  ];
}
