/**
 * Entry point of the runtime image: `main.ts <serve|fetch|golden|route|tune|load>`. Each command is a room of its own and is
 * loaded only when asked for, so that the init container that fetches does not pay for an inference engine.
 *
 * Holds no logic of any command. Whatever ends a command badly is written as a typed termination message, so
 * that the pod's status says why without anybody reading its log.
 */
import { commands } from '#contract';
import { Failure, writeTermination } from './termination.ts';

const rooms: Readonly<Record<string, string>> = {
  [commands.serve]: './server/main.ts',
  [commands.fetch]: './fetch/main.ts',
  [commands.route]: './router/main.ts',
  [commands.golden]: './golden/main.ts',
  [commands.tune]: './server/tuning/main.ts',
  [commands.load]: './load/main.ts',
};

/** What every command's module exports. It resolves when the command has done its work. */
interface Room {
  main(): Promise<void> | void;
}

function isRoom(module: unknown): module is Room {
  return (
    typeof module === 'object' && module !== null && 'main' in module && typeof module.main === 'function'
  );
}

const command = process.argv[2] ?? '';

function end(thrown: unknown): never {
  const failure = Failure.from(thrown);
  const told = writeTermination({ ok: false, reason: failure.reason, message: failure.message });
  const stack = failure.reason === 'InternalError' ? (thrown as Error)?.stack : undefined;
  // Straight to the descriptor: a logger's stream would lose the line when the process exits.
  process.stderr.write(
    `${JSON.stringify({ timestamp: new Date().toISOString(), level: 'error', command, reason: failure.reason, message: failure.message, ...(stack ? { stack } : {}), ...(told ? {} : { terminationMessage: 'not written' }) })}\n`,
  );
  process.exit(1);
}

process.on('uncaughtException', end);
process.on('unhandledRejection', end);

// Process 1 of a container has no default action for a signal, and the kubelet would have to wait and kill it. A
// command that listens for itself takes over.
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    if (process.listenerCount(signal) === 0) process.exit(128 + (signal === 'SIGTERM' ? 15 : 2));
  });
}

try {
  const path = rooms[command];
  if (path === undefined) {
    const known = Object.keys(rooms).join(', ');
    throw new Failure(
      'ConfigurationInvalid',
      command === '' ? `no command given; it is one of ${known}` : `unknown command; it is one of ${known}`,
    );
  }
  const room: unknown = await import(path);
  if (!isRoom(room)) throw new Error(`${path} exports no main()`);
  await room.main();
} catch (thrown) {
  end(thrown);
}
