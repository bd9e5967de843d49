/** One run of a container: its process, log, probes and the way to its end. Reports news; decides nothing. */
import { readFile } from 'node:fs/promises';
import { ContainerLog } from './container-log.ts';
import { type ContainerProcess, handles, startProcess } from './container-process.ts';
import { argumentToHost, type MountedPath } from './expansion.ts';
import { type Answer, ask, type Exec } from './handlers.ts';
import { runHook } from './hooks.ts';
import type { Exit, ProbeKind } from './lifecycle.ts';
import type { Container } from './pod.ts';
import type { Clock } from './ports.ts';
import { Prober } from './prober.ts';

export interface RunOptions {
  readonly id: string;
  readonly container: Container;
  /** Address that probes and hooks go to. */
  readonly address: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly mounts: readonly MountedPath[];
  readonly logFile: string;
  /** Host file that stands for `terminationMessagePath`. */
  readonly terminationFile: string;
  readonly clock: Clock;
  readonly onVerdict: (probe: ProbeKind, ok: boolean) => void;
  readonly onHooked: (failure: string | undefined) => void;
  readonly onEnd: (exit: Exit) => void;
  readonly onEvent: (type: 'Normal' | 'Warning', reason: string, message: string) => void;
}

/** Bytes of a termination message that are kept. */
const longestMessage = 4096;
/** Milliseconds that every container gets between SIGTERM and SIGKILL, whatever a hook has used up. */
const shortestGrace = 2_000;

export class ContainerRun {
  readonly id: string;
  readonly startedAt: number;
  readonly log: ContainerLog;
  /** Resolves after the end was told. */
  readonly ended: Promise<void>;
  readonly #options: RunOptions;
  readonly #process: ContainerProcess;
  /** Commands of probes and hooks under way; they end with the container. */
  readonly #commands = new Set<ContainerProcess>();
  #prober: Prober | undefined;
  #stopping = false;
  #ended = false;
  #outOfMemory = false;
  #terminated = false;
  #killAt = Number.POSITIVE_INFINITY;
  #cancelKill: (() => void) | undefined;

  /** @throws StartError when there is nothing to run. */
  constructor(options: RunOptions) {
    this.id = options.id;
    this.#options = options;
    this.log = new ContainerLog(options.logFile, options.clock);
    try {
      this.#process = startProcess({
        command: options.command,
        env: options.env,
        cwd: options.cwd,
        onOutput: (stream, chunk) => this.log.write(stream, chunk),
      });
    } catch (error) {
      this.log.close();
      throw error;
    }
    this.startedAt = options.clock.now();
    this.ended = this.#process.ended.then(({ exitCode }) => this.#end(exitCode));
  }

  /** Process group, for measuring memory. */
  get group(): number {
    return this.#process.pid;
  }

  get env(): Readonly<Record<string, string>> {
    return this.#options.env;
  }

  get cwd(): string {
    return this.#options.cwd;
  }

  /** postStart and then probes. Call once, after the start has been told. */
  begin(): void {
    const { container, clock } = this.#options;
    const hook = container.lifecycle?.postStart;
    if (!hook) return this.#probe();
    const { address } = this.#options;
    void runHook(hook, container, address, 2 ** 31 - 1, this.exec, clock).then((failure) => {
      if (this.#ended) return;
      if (failure === undefined && !this.#stopping) this.#probe();
      this.#options.onHooked(failure);
    });
  }

  /** preStop, SIGTERM, and SIGKILL at `killAt`. */
  async stop(killAt: number): Promise<void> {
    if (this.#stopping || this.#ended) return this.hasten(killAt);
    this.#stopping = true;
    this.#killAt = killAt;
    this.#prober?.drain();
    const { container, clock, address, onEvent } = this.#options;
    const hook = container.lifecycle?.preStop;
    if (hook) {
      const failure = await runHook(
        hook,
        container,
        address,
        Math.max(0, killAt - clock.now()),
        this.exec,
        clock,
      );
      if (this.#ended) return;
      if (failure !== undefined) onEvent('Warning', 'FailedPreStopHook', 'PreStopHook failed');
    }
    this.#terminate();
    this.#killAt = Math.max(this.#killAt, clock.now() + shortestGrace);
    this.#armKill();
  }

  hasten(killAt: number): void {
    if (killAt >= this.#killAt) return;
    this.#killAt = killAt;
    // A hook under way goes on; what it may not do is delay the end.
    if (!this.#terminated) this.#terminate();
    this.#armKill();
  }

  /** Ends it at once. */
  kill(cause: 'outOfMemory' | 'nodeStops'): void {
    if (this.#ended) return;
    if (cause === 'outOfMemory') this.#outOfMemory = true;
    this.#process.kill();
    for (const command of this.#commands) command.kill();
  }

  /** Paths of the container that arguments name, as they are here. */
  translate(command: readonly string[]): readonly string[] {
    return command.map((argument) => argumentToHost(argument, this.#options.mounts));
  }

  /** A command in the container's surroundings. */
  readonly exec: Exec = async (command, timeout) => {
    let output = '';
    const onOutput = (_stream: string, chunk: Buffer) => {
      if (output.length < 64 * 1024) output += chunk.toString();
    };
    const { env, cwd, clock } = this.#options;
    let exec: ContainerProcess;
    try {
      exec = startProcess({ command: this.translate(command), env, cwd, onOutput });
    } catch (error) {
      return { exitCode: 126, output: error instanceof Error ? error.message : String(error) };
    }
    let late = false;
    const cancel = clock.after(timeout, () => {
      late = true;
      exec.kill();
    });
    this.#commands.add(exec);
    const { exitCode } = await exec.ended;
    this.#commands.delete(exec);
    cancel();
    return { exitCode: late ? undefined : exitCode, output };
  };

  /**
   * The first process of a container gets only signals that it has a handler for, and so it is here: an image that
   * forgets to handle SIGTERM is killed at the end of its grace, as it would be in a real cluster.
   */
  #terminate(): void {
    this.#terminated = true;
    if (handles(this.#process.pid, 'SIGTERM')) this.#process.signal('SIGTERM');
  }

  #probe(): void {
    const { container, clock, address, onVerdict } = this.#options;
    this.#prober = new Prober({
      container,
      clock,
      startedAt: this.startedAt,
      ask: (probe, timeout) => ask(probe, container, address, timeout, this.exec),
      onVerdict,
      onTrouble: (kind, answer) => this.#tell(kind, answer),
    });
  }

  #tell(kind: ProbeKind, { result, output }: Answer): void {
    if (this.#ended) return;
    const title = `${kind[0]?.toUpperCase()}${kind.slice(1)} probe`;
    const { onEvent } = this.#options;
    if (result === 'warning') onEvent('Warning', 'ProbeWarning', `${title} warning: ${output}`);
    else if (result === 'unknown') onEvent('Warning', 'Unhealthy', `${title} errored: ${output}`);
    else onEvent('Warning', 'Unhealthy', `${title} failed: ${output}`);
  }

  #armKill(): void {
    this.#cancelKill?.();
    const { clock } = this.#options;
    this.#cancelKill = clock.after(Math.max(0, this.#killAt - clock.now()), () => this.#process.kill());
  }

  async #end(exitCode: number): Promise<void> {
    this.#ended = true;
    const finishedAt = this.#options.clock.now();
    this.#cancelKill?.();
    this.#prober?.stop();
    for (const command of this.#commands) command.kill();
    this.log.close();
    const message = await this.#terminationMessage(exitCode);
    const outOfMemory = this.#outOfMemory && exitCode !== 0;
    this.#options.onEnd({
      exitCode,
      reason: outOfMemory ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error',
      message,
      startedAt: this.startedAt,
      finishedAt,
      id: this.id,
    });
  }

  async #terminationMessage(exitCode: number): Promise<string> {
    const written = await readFile(this.#options.terminationFile).catch(() => Buffer.alloc(0));
    // The end of a long message counts, as with kubelets.
    if (written.length > 0) return written.subarray(-longestMessage).toString();
    const fallBack = this.#options.container.terminationMessagePolicy === 'FallbackToLogsOnError';
    return fallBack && exitCode !== 0 ? this.log.tail() : '';
  }
}
