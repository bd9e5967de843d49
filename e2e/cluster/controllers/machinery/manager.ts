import { KubeError } from '../../../../kube-client/errors.ts';
import type { Context, Controller } from './context.ts';
import { WorkQueue } from './work-queue.ts';

/** Runs controllers: one queue each, fed by the shared caches. Resolves to what ends them. */
export function runControllers(context: Context, controllers: readonly Controller[]): () => Promise<void> {
  const stops: (() => Promise<void>)[] = [];
  for (const controller of controllers) {
    const queue = new WorkQueue({
      visit: (key) => controller.visit(key),
      failed: (key, error, attempt) => {
        const known = KubeError.from(error);
        // A conflict, or an object that is gone, means that the cache was behind; the next visit sees more.
        if ((known.code === 409 || known.code === 404) && attempt < 4) return;
        // A namespace that is going takes nothing new, and soon its controllers' objects are gone too.
        if (known.code === 403 && known.message.includes('being terminated')) return;
        context.log('visit failed', {
          controller: controller.name,
          key,
          attempt,
          code: known.code,
          message: known.message,
        });
      },
      workers: controller.workers ?? 4,
    });
    const ends = controller.watch((key) => queue.add(key));
    stops.push(async () => {
      for (const end of ends) end();
      await queue.stop();
    });
  }
  return async () => {
    await Promise.all(stops.map((stop) => stop()));
  };
}
