/**
 * Parts of a cluster that run as processes of their own, seen from the process that starts them. A part never
 * outlives its starter: it ends when the channel between them does, however that happens.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

/** To a part. */
export type Order =
  | { readonly kind: 'start'; readonly options: unknown }
  | { readonly kind: 'call'; readonly id: number; readonly name: string; readonly argument: unknown }
  | { readonly kind: 'stop' };

/** From a part. */
export type Answer =
  | { readonly kind: 'ready'; readonly value: unknown }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'result'; readonly id: number; readonly error?: string };

export interface Part<Ready> {
  readonly pid: number;
  /** What the part said of itself when it was ready. */
  readonly value: Ready;
  /** Resolves, with the reason, if the part ends without having been told to. */
  readonly lost: Promise<Error>;
  /** Has the part do something that it offers. */
  call(name: string, argument: unknown): Promise<void>;
  stop(): Promise<void>;
}

export interface PartOptions {
  readonly name: string;
  /** The part's module, which calls `servePart`. */
  readonly module: URL;
  readonly options: unknown;
  /** File that its output is added to. */
  readonly log: string;
}

/** How long a part may take to end in good order, in milliseconds. */
const stopMs = 30_000;

/** Starts a part; resolves when it is ready, and rejects with its reason when it can't be. */
export async function startPart<Ready>({ name, module, options, log }: PartOptions): Promise<Part<Ready>> {
  const output = openSync(log, 'a', 0o600);
  const child = fork(module, {
    // In a group of its own, so that Ctrl-C reaches only the starter, which ends things in the right order.
    detached: true,
    stdio: ['ignore', output, output, 'ipc'],
    execArgv: [],
    serialization: 'advanced',
  });
  closeSync(output);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  const calls = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  const ready = new Promise<Ready>((resolve, reject) => {
    child.on('message', (message: Answer) => {
      if (message.kind === 'ready') resolve(message.value as Ready);
      else if (message.kind === 'failed') reject(new Error(`${name}: ${message.message}`));
      else {
        const call = calls.get(message.id);
        calls.delete(message.id);
        if (message.error === undefined) call?.resolve();
        else call?.reject(new Error(`${name}: ${message.error}`));
      }
    });
    void ended.then((how) => reject(new Error(`${name} ended (${how}); see ${log}`)));
  });
  let stopping = false;
  const lost = new Promise<Error>((resolve) => {
    void ended.then((how) => {
      const error = new Error(`${name} ended (${how}); see ${log}`);
      for (const call of calls.values()) call.reject(error);
      if (!stopping) resolve(error);
    });
  });
  const stop = async (): Promise<void> => {
    stopping = true;
    send(child, { kind: 'stop' });
    const hard = setTimeout(() => child.kill('SIGKILL'), stopMs);
    await ended;
    clearTimeout(hard);
  };
  send(child, { kind: 'start', options });
  let value: Ready;
  try {
    value = await ready;
  } catch (error) {
    await stop();
    throw error;
  }
  let serial = 0;
  return {
    pid: child.pid ?? 0,
    value,
    lost,
    stop,
    call: (call, argument) =>
      new Promise((resolve, reject) => {
        serial += 1;
        calls.set(serial, { resolve, reject });
        send(child, { kind: 'call', id: serial, name: call, argument });
      }),
  };
}

function send(child: ChildProcess, order: Order): void {
  // One that ended meanwhile is noticed by its exit.
  if (child.connected) child.send(order, () => {});
}
