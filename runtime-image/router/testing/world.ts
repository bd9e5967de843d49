/** A router with pods and without a cluster: inputs are set by hand, everything else is real. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import winston from 'winston';
import { Agent, type AgentEvent } from '../agent.ts';
import type { Limits } from '../config.ts';
import { Latency } from '../latency.ts';
import { Monitor } from '../monitor.ts';
import type { EndpointInput, Inputs, ModelInput } from '../state.ts';
import { findHaproxy } from './haproxy.ts';
import { Pod, type PodOptions } from './pod.ts';

/** Worlds of one process, and processes of one machine, must not meet on the loopback network. */
let count = 0;
const net = 64 + (process.pid % 128);

export const firstPort = 10_000;

export class World {
  readonly address: string;
  readonly events: AgentEvent[] = [];
  readonly pods: Pod[] = [];
  readonly latency: Latency;
  agent: Agent;
  monitor: Monitor;
  readonly #folder: string;
  readonly #prefix: string;
  readonly #limits: Limits;
  readonly #binary: string;
  #addresses = 0;
  #inputs: Inputs = { models: [], endpoints: [] };

  private constructor(folder: string, binary: string, threads: number, descriptors: number) {
    this.#prefix = `127.${net}.${++count}`;
    this.address = `${this.#prefix}.254`;
    this.#folder = folder;
    this.#binary = binary;
    this.#limits = {
      bind: this.address,
      threads,
      descriptors,
      hardStopAfter: 20,
    };
    this.latency = new Latency((slot) => {
      const found = this.agent.applied.slots.find((one) => one.slot === slot);
      return found && `${found.uid}/${found.version}`;
    });
    this.agent = this.#newAgent();
    this.monitor = new Monitor(this.agent, this.latency, winston.createLogger({ silent: true }));
  }

  /** @param descriptors given: the limit of open files that HAProxy really has */
  static async start(options: { threads?: number; descriptors?: number } = {}): Promise<World> {
    const { threads = 2, descriptors } = options;
    const folder = await mkdtemp(join(tmpdir(), 'sluice-router-'));
    const haproxy = await findHaproxy();
    const binary = descriptors === undefined ? haproxy : await limited(folder, haproxy, descriptors);
    const world = new World(folder, binary, threads, descriptors ?? 16_000);
    await world.agent.start();
    world.monitor.start();
    return world;
  }

  #newAgent(): Agent {
    return new Agent({
      binary: this.#binary,
      folder: this.#folder,
      limits: this.#limits,
      logger: winston.createLogger({
        level: process.env['SLUICE_LOG_LEVEL'] ?? 'error',
        transports: [new winston.transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug'] })],
        silent: process.env['SLUICE_LOG_LEVEL'] === undefined,
      }),
      onSample: (line) => this.latency.take(line),
      observe: (event) => {
        this.events.push(event);
        this.monitor.observe(event);
      },
    });
  }

  /**
   * Stops the agent, lets one in a process of its own start HAProxy on the same folder, kills that one only, and
   * starts a new agent beside the HAProxy that it left behind.
   * @returns process id of the HAProxy that was left behind
   */
  async orphanHaproxy(meanwhile: () => Promise<void>): Promise<number> {
    await this.agent.stop(2000);
    const script = join(import.meta.dirname, 'agent-process.ts');
    const child = spawn(process.execPath, [script, this.#binary, this.#folder, this.address], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = await new Promise<number>((resolve) =>
      child.stdout.once('data', (text) => resolve(Number(text))),
    );
    const exit = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exit;
    this.agent = this.#newAgent();
    this.monitor.stop();
    this.monitor = new Monitor(this.agent, this.latency, winston.createLogger({ silent: true }));
    await meanwhile();
    this.monitor.start();
    return pid;
  }

  /** An address for a pod, which no other has. */
  nextAddress(): string {
    return `${this.#prefix}.${++this.#addresses}`;
  }

  async pod(version: string, options?: PodOptions): Promise<Pod> {
    const pod = new Pod(version, this.nextAddress(), options);
    await pod.start();
    this.pods.push(pod);
    return pod;
  }

  /** What the API would say from now on; resolves when it is applied. */
  async set(models: readonly ModelInput[], endpoints: readonly (Pod | EndpointInput)[]): Promise<void> {
    this.#inputs = { models, endpoints: endpoints.map((one) => (one instanceof Pod ? one.endpoint : one)) };
    this.agent.update(this.#inputs);
    await this.agent.settled();
  }

  /** Sets the shares of the model `m` on the first port, in percent; the first version named is stable. */
  async split(
    weights: Readonly<Record<string, number>>,
    endpoints?: readonly (Pod | EndpointInput)[],
    more: Pick<ModelInput, 'policy' | 'routed'> = {},
  ): Promise<void> {
    const traffic = Object.entries(weights).map(([version, weight]) => ({ version, weight }));
    const model = {
      name: 'm',
      uid: 'uid-m',
      port: firstPort,
      generation: this.events.length,
      stable: traffic[0]!.version,
      traffic,
      ...more,
    };
    await this.set([model], endpoints ?? this.pods);
  }

  async stop(): Promise<void> {
    this.monitor.stop();
    await this.agent.stop(2000);
    await Promise.all(this.pods.map((pod) => pod.kill()));
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** A program that starts another which cannot open more files than so many. @returns its path */
async function limited(folder: string, program: string, descriptors: number): Promise<string> {
  const path = join(folder, 'limited');
  await writeFile(path, `#!/bin/sh\nulimit -n ${descriptors}\nexec '${program}' "$@"\n`, { mode: 0o700 });
  return path;
}
