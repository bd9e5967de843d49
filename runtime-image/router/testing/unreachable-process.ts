/** A server with a queue of length one, in a process that can be stopped: `unreachable-process.ts <http|grpc> <address> <port>`. */
import http from 'node:http';
import http2 from 'node:http2';

const [kind, host, port] = process.argv.slice(2);
const server =
  kind === 'http'
    ? http.createServer((request, response) => {
        request.resume();
        request.on('end', () => response.end(`{"pod":"${host}"}`));
      })
    : http2.createServer().on('stream', (stream) => {
        stream.on('error', () => {});
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-pod': host! }));
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.resume();
        stream.on('end', () => stream.end());
      });
server.listen({ host: host!, port: Number(port), backlog: 1 }, () => process.stdout.write('listening\n'));
