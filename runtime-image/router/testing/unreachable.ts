/**
 * A pod whose port loses connections: the kernel drops SYNs to a listener whose queue is full, as a network does that
 * does not know a new pod yet. Needs no rights.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';

/** Answers 200 to every HTTP/1.1 request, or echoes gRPC calls, and tells on stdout when it listens. */
const script = join(import.meta.dirname, 'unreachable-process.ts');

export class UnreachablePort {
  readonly #child: ChildProcess;
  readonly #fillers: Socket[] = [];

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Listens, and loses every connection until it is thawed. */
  static async start(kind: 'http' | 'grpc', address: string, port: number): Promise<UnreachablePort> {
    const child = spawn(process.execPath, [script, kind, address, String(port)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve, reject) => {
      child.stdout!.once('data', resolve);
      child.once('exit', () => reject(new Error(`${script} ended`)));
    });
    const started = new UnreachablePort(child);
    child.kill('SIGSTOP');
    // A queue of length one takes two; the first that does not get in shows that it is full.
    for (;;) {
      const socket = createConnection(port, address);
      socket.on('error', () => {});
      started.#fillers.push(socket);
      const entered = await new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true));
        // A process that stood still finds its timers due before it sees what came meanwhile.
        setTimeout(() => setImmediate(() => resolve(false)), 300);
      });
      if (!entered) return started;
    }
  }

  /** Takes connections from now on. */
  thaw(): void {
    for (const socket of this.#fillers) socket.destroy();
    this.#child.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    const exit = new Promise((resolve) => this.#child.once('exit', resolve));
    for (const socket of this.#fillers) socket.destroy();
    this.#child.kill('SIGKILL');
    await exit;
  }
}
