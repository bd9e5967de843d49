import { routerPorts } from '#contract';
import type { Service } from '../api/kubernetes.ts';
import { modelServiceLabel } from '../resources/services.ts';

/**
 * Which port of a namespace's routers belongs to which model. The record is the target port of the models' Services;
 * what is kept here are reservations that a cache does not show yet. One operator writes, so memory is enough.
 */
export class PortBook {
  readonly #reserved = new Map<string, Map<string, number>>();

  /** The port of a model: the one it has, or the lowest free one; undefined when none is left. */
  portOf(namespace: string, model: string, services: readonly Service[]): number | undefined {
    const reserved = this.#reserved.get(namespace) ?? new Map<string, number>();
    this.#reserved.set(namespace, reserved);
    const recorded = new Map<string, number>();
    for (const service of services) {
      const owner = service.metadata.labels?.[modelServiceLabel];
      const port = service.spec?.ports?.[0]?.targetPort;
      if (owner !== undefined && typeof port === 'number' && isRouterPort(port)) recorded.set(owner, port);
    }
    const own = recorded.get(model) ?? reserved.get(model);
    if (own !== undefined) {
      reserved.set(model, own);
      return own;
    }
    const taken = new Set([...recorded.values(), ...reserved.values()]);
    for (let port: number = routerPorts.firstModel; isRouterPort(port); port += 1) {
      if (taken.has(port)) continue;
      reserved.set(model, port);
      return port;
    }
    return undefined;
  }

  /** Gives the port of a model that is gone back. */
  release(namespace: string, model: string): void {
    this.#reserved.get(namespace)?.delete(model);
  }
}

const isRouterPort = (port: number): boolean =>
  port >= routerPorts.firstModel && port < routerPorts.firstModel + routerPorts.maxModels;
