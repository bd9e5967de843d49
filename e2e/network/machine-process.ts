/** A pod on a machine of its own: `machine-process.ts <address>`. Answers, or says `held` of a request that asks not to be. */
import http from 'node:http';
import http2 from 'node:http2';
import { podPorts } from '../../runtime-image/router/testing/pod.ts';
import { holdHeader } from './machine.ts';

const [address] = process.argv.slice(2);
const held = () => process.stdout.write('held\n');

const rest = http.createServer((request, response) => {
  request.resume().on('end', () => {
    if (request.headers[holdHeader] === undefined) response.end(JSON.stringify({ pod: address }));
    else held();
  });
});
const grpc = http2.createServer().on('stream', (stream, headers) => {
  stream.on('error', () => {});
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-pod': address! }));
  stream.resume().on('end', () => {
    if (headers[holdHeader] !== undefined) held();
    else {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.end();
    }
  });
});
rest.listen(podPorts.http, address, () =>
  grpc.listen(podPorts.grpc, address, () => process.stdout.write('listening\n')),
);
