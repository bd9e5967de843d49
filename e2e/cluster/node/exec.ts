/** `kubectl exec` over a WebSocket: the channels of `v5.channel.k8s.io` and `v4.channel.k8s.io`, without a terminal. */
import type { IncomingMessage } from 'node:http';
import { type Duplex, PassThrough } from 'node:stream';
import { WebSocketServer } from 'ws';
import { type ContainerProcess, StartError, startProcess } from './container-process.ts';
import type { ContainerRun } from './container-run.ts';

const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, close: 255 } as const;
/** What the URL calls the streams, which is not what the protocol calls them. */
const parameters = { stdin: 'input', stdout: 'output', stderr: 'error' } as const;
const protocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];

const sockets = new WebSocketServer({
  noServer: true,
  handleProtocols: (offered) => protocols.find((protocol) => offered.has(protocol)) ?? false,
});

/** Runs the command that the URL's `command` parameters give, and joins it with the socket until it ends. */
export function serveExec(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  url: URL,
  run: ContainerRun,
): void {
  const command = url.searchParams.getAll('command');
  const isSet = (name: string) => ['1', 'true'].includes(url.searchParams.get(name) ?? '');
  const wants = (stream: keyof typeof parameters) => isSet(parameters[stream]);
  sockets.handleUpgrade(request, socket, head, (peer) => {
    const send = (channel: number, bytes: Buffer) =>
      peer.send(Buffer.concat([Buffer.from([channel]), bytes]));
    const finish = (status: object) => {
      send(channels.error, Buffer.from(JSON.stringify(status)));
      peer.close(1000);
    };
    const stdin = wants('stdin') ? new PassThrough() : undefined;
    let process: ContainerProcess;
    try {
      process = startProcess({
        command: run.translate(command),
        env: run.env,
        cwd: run.cwd,
        onOutput: (stream, chunk) => {
          // A terminal has one output.
          if (isSet('tty')) send(channels.stdout, chunk);
          else if (wants(stream)) send(channels[stream], chunk);
        },
        ...(stdin ? { stdin } : {}),
      });
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      finish(
        failure(
          'InternalError',
          `Internal error occurred: error executing command in container: ${error.message}`,
        ),
      );
      return;
    }
    peer.on('message', (data) => {
      const bytes = Buffer.isBuffer(data)
        ? data
        : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]);
      if (bytes[0] === channels.stdin) stdin?.write(bytes.subarray(1));
      else if (bytes[0] === channels.close && bytes[1] === channels.stdin) stdin?.end();
    });
    peer.on('close', () => process.kill());
    peer.on('error', () => process.kill());
    void process.ended.then(({ exitCode }) => {
      if (exitCode === 0) return finish({ metadata: {}, status: 'Success' });
      const message = `command terminated with non-zero exit code: error executing command ${JSON.stringify(command)}, exit code ${exitCode}`;
      return finish({
        ...failure('NonZeroExitCode', message),
        details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
      });
    });
  });
}

function failure(reason: string, message: string): object {
  return { metadata: {}, status: 'Failure', reason, message };
}
