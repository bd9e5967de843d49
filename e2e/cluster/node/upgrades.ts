/** Requests to the kubelet that turn their connection into something else: commands and forwarded ports. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocketServer } from 'ws';
import type { ContainerRun } from './container-run.ts';
import {
  execRequestOf,
  serveWebSocketExec,
  spdyExec,
  spdyExecProtocol,
  webSocketExecProtocols,
} from './exec.ts';
import { portForwardProtocol, servePortForward } from './port-forward.ts';
import { serveSpdy } from './spdy.ts';

/** SPDY inside the messages of a WebSocket, which is how kubectl passes proxies that know only those. */
const tunnel = `SPDY/3.1+${portForwardProtocol}`;

const sockets = new WebSocketServer({
  noServer: true,
  handleProtocols: (offered) =>
    [...webSocketExecProtocols, tunnel].find((protocol) => offered.has(protocol)) ?? false,
});

export function upgradeToExec(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  url: URL,
  run: ContainerRun,
): void {
  const exec = execRequestOf(url);
  if (isWebSocket(request))
    sockets.handleUpgrade(request, socket, head, (peer) => serveWebSocketExec(peer, exec, run));
  else
    serveSpdy(
      acceptSpdy(socket, head, spdyExecProtocol),
      spdyExec(exec, run, () => socket.end()),
    );
}

/** @param address of the pod */
export function upgradeToPortForward(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  address: string,
): void {
  if (isWebSocket(request)) {
    sockets.handleUpgrade(request, socket, head, (peer) =>
      servePortForward(createWebSocketStream(peer), address),
    );
  } else servePortForward(acceptSpdy(socket, head, portForwardProtocol), address);
}

function isWebSocket(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'websocket';
}

function acceptSpdy(socket: Duplex, head: Buffer, protocol: string): Duplex {
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
  if (head.length > 0) socket.unshift(head);
  return socket;
}
