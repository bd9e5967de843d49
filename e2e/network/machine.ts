/** A machine of its own, as a network namespace behind a cable that can be cut. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { until } from '../../runtime-image/router/testing/client.ts';
import { type Pod, podPorts } from '../../runtime-image/router/testing/pod.ts';

/** A request with this header gets no answer. */
export const holdHeader = 'x-hold';

const script = join(import.meta.dirname, 'machine-process.ts');
const namespaceOf = (pid: number | 'self') => readlinkSync(`/proc/${pid}/ns/net`);

let count = 0;

export class Machine {
  readonly address: string;
  /** Requests that it has and does not answer. */
  held = 0;
  readonly #child: ChildProcess;

  private constructor(address: string, child: ChildProcess) {
    this.address = address;
    this.#child = child;
  }

  /** Starts a pod on a new machine. */
  static async start(): Promise<Machine> {
    const cable = `cable${++count}`;
    const net = `10.200.${count}`;
    const address = `${net}.2`;
    const child = spawn(
      'unshare',
      [
        '--net',
        '--',
        'sh',
        '-c',
        'ip link set lo up && read go && exec "$@"',
        'sh',
        process.execPath,
        script,
        address,
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    const pid = child.pid!;
    await until(() => namespaceOf(pid) !== namespaceOf('self'), 'a namespace of its own');
    execFileSync('ip', ['link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(pid)]);
    execFileSync('ip', ['addr', 'add', `${net}.1/24`, 'dev', cable]);
    execFileSync('ip', ['link', 'set', cable, 'up']);
    const machine = new Machine(address, child);
    machine.#inside('ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    machine.#inside('ip', 'link', 'set', 'eth0', 'up');
    let listening = false;
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (line === 'listening') listening = true;
      else if (line === 'held') machine.held += 1;
    });
    child.stdin!.write('go\n');
    await until(() => listening, 'it listens', 20_000);
    return machine;
  }

  get endpoint(): Pod['endpoint'] {
    return { model: 'm', version: '5.0.0', address: this.address, ports: podPorts, state: 'ready' };
  }

  /** Nothing that is sent to it arrives any more, and nobody is told. */
  vanish(): void {
    this.#inside('ip', 'link', 'set', 'eth0', 'down');
  }

  async stop(): Promise<void> {
    const exit = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await exit;
  }

  #inside(...command: readonly string[]): void {
    execFileSync('nsenter', ['--net', '--target', String(this.#child.pid), '--', ...command]);
  }
}
