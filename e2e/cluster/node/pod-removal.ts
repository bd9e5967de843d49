/** The last call of a pod's life: its object is removed from the API. */
import { isNotFound, KubeError } from '../../../kube-client/errors.ts';
import { resources } from '../../../kube-client/resources.ts';
import type { Pod } from './pod.ts';
import { podKey } from './pod.ts';
import type { Api, Clock, Logger } from './ports.ts';

const firstPause = 500;
const longestPause = 10_000;

/** Resolves when the object is gone, or `isOver` says that nobody cares any more. */
export async function removePod(
  pod: Pod,
  { api, clock, logger }: { readonly api: Api; readonly clock: Clock; readonly logger: Logger },
  isOver: () => boolean,
): Promise<void> {
  const { namespace, name, uid } = pod.metadata;
  for (let pause = firstPause; !isOver(); pause = Math.min(pause * 2, longestPause)) {
    try {
      await api.delete(resources.pods, namespace, name, { gracePeriodSeconds: 0, preconditions: { uid } });
      return;
    } catch (thrown) {
      const error = KubeError.from(thrown);
      if (isNotFound(thrown) || isOfAnother(error)) return;
      logger.warn('pod not deleted', { pod: podKey(pod), error: error.message });
      await new Promise<void>((resolve) => {
        clock.after(error.retryAfterMs ?? pause, resolve);
      });
    }
  }
}

/** The name belongs to another pod now: the UID that we gave is not that of the object. Other conflicts pass. */
export function isOfAnother({ code, message }: KubeError): boolean {
  return (code === 409 || code === 422) && /UID in precondition|metadata\.uid|uid mismatch/.test(message);
}
