import type { KubeClient } from '../../../../kube-client/client.ts';
import type { Resource } from '../../../../kube-client/resources.ts';

/** A resource that the API server serves, with what can be done with it. */
export interface Discovered extends Resource {
  readonly verbs: readonly string[];
}

interface ResourceList {
  readonly groupVersion: string;
  readonly resources?: readonly {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
    readonly verbs?: readonly string[];
  }[];
}

interface GroupList {
  readonly groups?: readonly {
    readonly name: string;
    readonly preferredVersion?: { readonly groupVersion: string };
  }[];
}

/** All resources (without subresources) at each group's preferred version. */
export async function discover(client: KubeClient): Promise<Discovered[]> {
  const groups = (await json(client, '/apis')) as GroupList;
  const paths = (groups.groups ?? []).flatMap(({ preferredVersion }) =>
    preferredVersion === undefined ? [] : [`/apis/${preferredVersion.groupVersion}`],
  );
  const lists = await Promise.all(['/api/v1', ...paths].map((path) => json(client, path)));
  return (lists as ResourceList[]).flatMap(({ groupVersion, resources = [] }) => {
    const slash = groupVersion.indexOf('/');
    const group = slash < 0 ? '' : groupVersion.slice(0, slash);
    const version = groupVersion.slice(slash + 1);
    return resources
      .filter(({ name }) => !name.includes('/'))
      .map(({ name, kind, namespaced, verbs = [] }) => ({
        group,
        version,
        plural: name,
        kind,
        namespaced,
        verbs,
      }));
  });
}

async function json(client: KubeClient, path: string): Promise<unknown> {
  const response = await client.raw('GET', path);
  return response.json();
}
