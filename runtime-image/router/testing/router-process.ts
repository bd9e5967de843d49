/** The whole router as the image runs it: a process that watches an API. */
import { join } from 'node:path';
import { commands, env, routerPorts } from '#contract';
import { ImageProcess, temporaryFolder } from '../../testing/process.ts';
import { type Answer, request, until } from './client.ts';
import type { FakeApi } from './fake-api.ts';
import { findHaproxy } from './haproxy.ts';

export class RouterProcess {
  readonly address: string;
  readonly #process: ImageProcess;

  private constructor(address: string, process: ImageProcess) {
    this.address = address;
    this.#process = process;
  }

  /** Starts it in the API's namespace, and does not wait. */
  static async start(address: string, api: FakeApi): Promise<RouterProcess> {
    const folder = temporaryFolder();
    return new RouterProcess(
      address,
      new ImageProcess(
        commands.route,
        {
          KUBECONFIG: await api.kubeconfig(folder),
          [env.haproxy]: await findHaproxy(),
          [env.bindAddress]: address,
          [env.podName]: 'router-1',
          [env.podNamespace]: 'ns',
          [env.routerDir]: join(folder, 'router'),
          [env.gracePeriod]: '4',
        },
        folder,
      ),
    );
  }

  /** What it asks of `/metrics` and the probes. */
  admin(path: string): Promise<Answer> {
    return request(this.address, path, { port: routerPorts.admin });
  }

  /** Resolves when it has taken over what the API says. @throws Error with its log when it does not */
  async ready(): Promise<void> {
    const answers = () =>
      this.admin('/readyz').then(
        ({ status }) => status === 200,
        () => false,
      );
    await until(answers, 'readiness', 60_000).catch((cause: unknown) => {
      throw new Error(`the router is not ready: ${this.log}`, { cause });
    });
  }

  get log(): string {
    return JSON.stringify(this.#process.log);
  }

  /** Memory of the agent, in bytes. */
  get residentBytes(): number {
    return this.#process.residentBytes;
  }

  /** Process ids of HAProxy: the one that takes requests, and after a reload those that still have some. */
  get haproxies(): readonly number[] {
    return this.#process.children;
  }

  /** Tells it to stop. @returns its exit code */
  async terminate(): Promise<number> {
    // Not SIGKILL: HAProxy would live on, as it is meant to.
    this.#process.signal('SIGTERM');
    return this.#process.exited;
  }

  /** Ends it, if it has not ended, and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#process.ended) await this.terminate();
    await this.#process[Symbol.asyncDispose]();
  }
}
