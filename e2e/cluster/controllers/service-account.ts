import { isAlreadyExists, isForbidden, isNotFound } from '../../../kube-client/errors.ts';
import { splitKey } from '../../../kube-client/object.ts';
import { resources } from '../../../kube-client/resources.ts';
import type { Context, Controller } from './machinery/context.ts';
import type { ConfigMap, Namespace } from './machinery/kinds.ts';

const rootCaName = 'kube-root-ca.crt';

/**
 * Gives every namespace what its pods can't start without: the service account `default`, and the ConfigMap
 * that holds the certificate (PEM) by which they know the API server.
 */
export function serviceAccountController(context: Context, rootCa: string): Controller {
  const { client, caches } = context;

  async function quietly(write: Promise<unknown>): Promise<void> {
    try {
      await write;
    } catch (error) {
      // The namespace went, or another was faster.
      if (!isAlreadyExists(error) && !isForbidden(error) && !isNotFound(error)) throw error;
    }
  }

  return {
    name: 'service-account',
    watch: (enqueue) => [
      caches.namespaces.subscribe(({ key, now }) => {
        if (now !== undefined) enqueue(key);
      }),
      caches.serviceAccounts.subscribe(({ key, now }) => {
        const { namespace, name } = splitKey(key);
        if (now === undefined && name === 'default') enqueue(namespace ?? '');
      }),
      caches.configMaps.subscribe(({ key }) => enqueue(splitKey(key).namespace ?? '')),
    ],
    async visit(namespace) {
      const object: Readonly<Namespace> | undefined = caches.namespaces.get(namespace);
      if (object === undefined || object.metadata.deletionTimestamp !== undefined) return undefined;
      if (caches.serviceAccounts.get(`${namespace}/default`) === undefined) {
        const account = {
          apiVersion: 'v1',
          kind: 'ServiceAccount',
          metadata: { name: 'default', namespace },
        };
        await quietly(client.create(resources.serviceaccounts, namespace, account));
      }
      const map = caches.configMaps.get(`${namespace}/${rootCaName}`);
      const wanted: ConfigMap = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: rootCaName, namespace },
        data: { 'ca.crt': rootCa },
      };
      if (map === undefined) await quietly(client.create(resources.configmaps, namespace, wanted));
      else if (map.data?.['ca.crt'] !== rootCa) {
        await client.replace(resources.configmaps, namespace, rootCaName, wanted);
      }
      return undefined;
    },
  };
}
