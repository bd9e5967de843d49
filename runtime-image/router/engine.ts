/**
 * HAProxy as a process: started, reloaded without closing a listener, stopped softly. Says when it dies; what to
 * do then is the agent's business.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../logger.ts';
import { Session } from './cli.ts';
import { files, samplePrefix } from './config.ts';
import { lastServerDown, serverDown } from './rescue.ts';
import { unreachable } from './silence.ts';

export interface EngineOptions {
  readonly binary: string;
  /** Holds the configuration, the maps and the sockets; HAProxy's working directory. */
  readonly folder: string;
  readonly logger: Logger;
  /** A request's log line, without the prefix. */
  readonly onSample: (line: string) => void;
  /** A server of the backend was taken out, because checks failed or it refused a connection. */
  readonly onEjection: (backend: string) => void;
  /** Connections to the server of that path fail. */
  readonly onUnreachable: (path: string) => void;
  /** Checks have taken the last server of a backend out. */
  readonly onStarved: () => void;
  /** The process that took new connections ended by itself. */
  readonly onDeath: (reason: string) => void;
}

/**
 * What a thread's own cache of half a MiB does not hold is kept for all threads, instead of being given back to the allocator. With copies for
 * retries, each request under way has a buffer of 16 KiB more than that cache is made for: 6 to 8 % of the processor time of small requests.
 */
const sharedPools = '-dMglobal';

const startTimeoutMs = 10_000;
/** Processes that were replaced and still answer; each takes memory. Before one more, the oldest has to end. */
const mostFormer = 6;
const roomTimeoutMs = 2_000;

export class Engine {
  readonly #options: EngineOptions;
  /** Takes new connections. */
  #current: ChildProcess | undefined;
  /** Replaced by a reload, and answering what it has accepted. */
  readonly #former = new Set<ChildProcess>();
  #stopping = false;
  /** A new process is about to take over; the current one may end as soon as it has handed its listeners over. */
  #changing = false;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  /** Process id of the HAProxy that takes new connections. */
  get pid(): number | undefined {
    return this.#current?.pid;
  }

  /** Processes that are still answering what they accepted before a reload. */
  get formerCount(): number {
    return this.#former.size;
  }

  /** A new command session. @throws CommandError when HAProxy does not answer. */
  session(): Promise<Session> {
    return Session.open(this.#options.folder, files.cli);
  }

  /**
   * Starts HAProxy on the files in the folder; one that runs there already, whoever started it, hands its
   * listeners over and ends when it is idle.
   * @throws Error with HAProxy's own words when it refuses the configuration or does not come up. The old one,
   * if any, then goes on as before.
   */
  async start(): Promise<void> {
    this.#changing = true;
    try {
      await this.#start();
    } finally {
      this.#changing = false;
    }
  }

  async #start(): Promise<void> {
    await this.#makeRoom();
    const answering = await this.#runningPid();
    const running = new Set([answering, this.#current?.pid].filter((pid) => pid !== undefined));
    const takeOver = [
      ...(answering === undefined ? [] : ['-x', files.cli]),
      ...(running.size === 0 ? [] : ['-sf', ...[...running].map(String)]),
    ];
    const child = spawn(this.#options.binary, [sharedPools, '-db', '-f', files.config, ...takeOver], {
      cwd: this.#options.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const words: string[] = [];
    this.#listen(child, words);
    const ended = new Promise<never>((_, reject) => {
      child.once('error', (error) =>
        reject(new Error(`cannot run HAProxy: ${error.message}`, { cause: error })),
      );
      child.once('exit', (code, signal) =>
        reject(new Error(`HAProxy ended (${signal ?? code}): ${words.join(' ')}`)),
      );
    });
    ended.catch(() => {});
    try {
      await Promise.race([this.#answers(child), ended]);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
    // From here on it is this one's end that matters.
    const former = this.#current;
    if (former && former.exitCode === null && former.signalCode === null) this.#former.add(former);
    this.#current = child;
    child.once('exit', (code, signal) => {
      this.#former.delete(child);
      if (this.#current !== child) return;
      this.#current = undefined;
      if (!this.#stopping && !this.#changing)
        this.#options.onDeath(`HAProxy ended (${signal ?? code}): ${words.slice(-3).join(' ')}`);
    });
    if (child.exitCode !== null || child.signalCode !== null) this.#current = undefined;
  }

  /** Accepts nothing new, waits for what is in flight, then ends all processes. */
  async stop(withinMs: number): Promise<void> {
    this.#stopping = true;
    const all = [...this.#former, ...(this.#current ? [this.#current] : [])];
    await Promise.all(
      all.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const exit = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGUSR1');
        const timer = setTimeout(() => child.kill('SIGKILL'), withinMs);
        await exit;
        clearTimeout(timer);
      }),
    );
  }

  /** After many reloads in a row: ends the process whose requests have had the most time, if none ends by itself. */
  async #makeRoom(): Promise<void> {
    const deadline = performance.now() + roomTimeoutMs;
    while (this.#former.size >= mostFormer && performance.now() < deadline) await pause(20);
    if (this.#former.size < mostFormer) return;
    const [oldest] = this.#former;
    this.#options.logger.warn('too many reloads: ending the oldest HAProxy with what it still answers', {
      pid: oldest?.pid,
    });
    oldest?.kill('SIGKILL');
  }

  async #runningPid(): Promise<number | undefined> {
    try {
      const session = await this.session();
      try {
        const info = await session.run('show info', /Pid: \d+/);
        return Number(/^Pid: (\d+)$/m.exec(info)?.[1]);
      } finally {
        session.close();
      }
    } catch {
      return undefined;
    }
  }

  async #answers(child: ChildProcess): Promise<void> {
    const deadline = performance.now() + startTimeoutMs;
    while (child.pid === undefined || (await this.#runningPid()) !== child.pid) {
      if (performance.now() > deadline)
        throw new Error(`HAProxy did not come up within ${startTimeoutMs} ms`);
      if (child.exitCode !== null || child.signalCode !== null) return;
      await pause(5);
    }
  }

  /** Requests' lines go to the sampler, warnings to the log. The last words are kept for error messages. */
  #listen(child: ChildProcess, words: string[]): void {
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        if (line.startsWith(samplePrefix)) {
          this.#options.onSample(line.slice(samplePrefix.length));
          return;
        }
        if (line === '') return;
        words.push(line);
        if (words.length > 20) words.shift();
        this.#options.logger.debug('haproxy', { line });
        if (child !== this.#current) return;
        const [, backend] = serverDown.exec(line) ?? [];
        if (backend !== undefined) this.#options.onEjection(backend);
        const path = unreachable(line);
        if (path !== undefined) this.#options.onUnreachable(path);
        if (lastServerDown.test(line)) this.#options.onStarved();
      });
    }
  }
}
