/** `kubectl exec`: a command in a container's surroundings, joined with the streams of whoever asked for it. */
import { accessSync, constants } from 'node:fs';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import type { WebSocket } from 'ws';
import { type ContainerProcess, StartError, startProcess } from './container-process.ts';
import type { ContainerRun } from './container-run.ts';
import type { SpdyStream } from './spdy.ts';

/** What the URL of an exec request says. */
export interface ExecRequest {
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly wants: Readonly<Record<'stdin' | 'stdout' | 'stderr', boolean>>;
}

export const webSocketExecProtocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];
export const spdyExecProtocol = 'v4.channel.k8s.io';

/** What the URL calls the streams, which is not what the protocol calls them. */
export function execRequestOf(url: URL): ExecRequest {
  const isSet = (name: string) => ['1', 'true'].includes(url.searchParams.get(name) ?? '');
  return {
    command: url.searchParams.getAll('command'),
    tty: isSet('tty'),
    wants: { stdin: isSet('input'), stdout: isSet('output'), stderr: isSet('error') },
  };
}

interface Ends {
  readonly stdin?: Readable;
  readonly output: (stream: 'stdout' | 'stderr', chunk: Buffer) => void;
  /** The outcome, as a `Status`. Nothing follows. */
  readonly finish: (status: object) => void;
}

/** Starts the command; the result ends it. */
function runCommand(request: ExecRequest, run: ContainerRun, ends: Ends): () => void {
  const { command, tty, wants } = request;
  let process: ContainerProcess;
  try {
    process = startProcess({
      command: inTerminal(run.translate(command), tty),
      env: tty ? { TERM: 'xterm', ...run.env } : run.env,
      cwd: run.cwd,
      onOutput: (stream, chunk) => {
        // A terminal has one output.
        if (tty) ends.output('stdout', chunk);
        else if (wants[stream]) ends.output(stream, chunk);
      },
      ...(ends.stdin ? { stdin: ends.stdin } : {}),
    });
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    const message = `Internal error occurred: error executing command in container: ${error.message}`;
    ends.finish({ metadata: {}, status: 'Failure', reason: 'InternalError', message });
    return () => {};
  }
  void process.ended.then(({ exitCode }) => {
    if (exitCode === 0) return ends.finish({ metadata: {}, status: 'Success' });
    return ends.finish({
      metadata: {},
      status: 'Failure',
      reason: 'NonZeroExitCode',
      message: `command terminated with non-zero exit code: error executing command ${JSON.stringify(command)}, exit code ${exitCode}`,
      details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
    });
  });
  return () => process.kill();
}

const script = '/usr/bin/script';

/** `script` lends the command a terminal; where there is none, it does without. */
function inTerminal(command: readonly string[], tty: boolean): readonly string[] {
  if (!tty) return command;
  try {
    accessSync(script, constants.X_OK);
  } catch {
    return command;
  }
  const line = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  return [script, '-qfec', line, '/dev/null'];
}

const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, close: 255 } as const;

/** Over the channels of a WebSocket: the first byte of every message says which. */
export function serveWebSocketExec(peer: WebSocket, request: ExecRequest, run: ContainerRun): void {
  const stdin = request.wants.stdin ? new PassThrough() : undefined;
  const send = (channel: number, bytes: Buffer) => peer.send(Buffer.concat([Buffer.from([channel]), bytes]));
  const stop = runCommand(request, run, {
    ...(stdin ? { stdin } : {}),
    output: (stream, chunk) => send(channels[stream], chunk),
    finish: (status) => {
      send(channels.error, Buffer.from(JSON.stringify(status)));
      peer.close(1000);
    },
  });
  peer.on('message', (data) => {
    const bytes = Buffer.isBuffer(data)
      ? data
      : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]);
    if (bytes[0] === channels.stdin) stdin?.write(bytes.subarray(1));
    else if (bytes[0] === channels.close && bytes[1] === channels.stdin) stdin?.end();
  });
  peer.on('close', stop);
  peer.on('error', stop);
}

/** Over SPDY: call `add` for each stream; the command starts when all that were announced are there. */
export function spdyExec(
  request: ExecRequest,
  run: ContainerRun,
  end: () => void,
): (stream: SpdyStream) => void {
  const { wants, tty } = request;
  const expected = [
    'error',
    ...(['stdin', 'stdout', 'stderr'] as const).filter((name) => wants[name] && !(tty && name === 'stderr')),
  ];
  const streams = new Map<string, SpdyStream>();
  let started = false;
  return (stream) => {
    streams.set(stream.headers['streamtype'] ?? '', stream);
    if (started || !expected.every((name) => streams.has(name))) return;
    started = true;
    const stdin = streams.get('stdin');
    const outputs: Writable[] = ['stdout', 'stderr', 'error'].flatMap((name) => streams.get(name) ?? []);
    const stop = runCommand(request, run, {
      ...(stdin ? { stdin } : {}),
      output: (name, chunk) => streams.get(name)?.write(chunk),
      finish: (status) => {
        streams.get('error')?.write(JSON.stringify(status));
        let open = outputs.length;
        for (const output of outputs) {
          output.end(() => {
            if (--open === 0) end();
          });
        }
      },
    });
    streams.get('error')?.on('close', stop);
  };
}
