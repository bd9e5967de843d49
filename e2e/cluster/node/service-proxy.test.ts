/** Real sockets between a fake API's Services and endpoints. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { resources } from '../../../kube-client/resources.ts';
import { attemptOrder, type EndpointSlice, endpointsOf } from './endpoint-choice.ts';
import { fakeApi } from './fake-api.ts';
import { type ServiceProxy, startServiceProxy } from './service-proxy.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const port = 18_431;

describe('endpointsOf', () => {
  const slice = (...endpoints: NonNullable<EndpointSlice['endpoints']>): EndpointSlice => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 's' },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 80 }],
    endpoints,
  });
  const ready = { addresses: ['10.0.0.1'], conditions: { ready: true, serving: true, terminating: false } };
  const leaving = { addresses: ['10.0.0.2'], conditions: { ready: false, serving: true, terminating: true } };
  const sick = { addresses: ['10.0.0.3'], conditions: { ready: false, serving: false, terminating: false } };

  it('takes ready ones, and leaving ones only when there are none', () => {
    assert.deepEqual(endpointsOf([slice(ready, leaving, sick)], 'http'), [{ address: '10.0.0.1', port: 80 }]);
    assert.deepEqual(endpointsOf([slice(leaving, sick)], 'http'), [{ address: '10.0.0.2', port: 80 }]);
    assert.deepEqual(endpointsOf([slice(sick)], 'http'), []);
    assert.deepEqual(endpointsOf([slice(ready)], 'grpc'), []);
    assert.equal(
      endpointsOf([slice({ addresses: ['10.0.0.4'] }), slice({ addresses: ['10.0.0.4'] })], 'http').length,
      1,
    );
  });

  it('tries each once, the preferred one first', () => {
    const all = ['a', 'b', 'c', 'd'].map((address) => ({ address, port: 1 }));
    const order = attemptOrder(all, all[2], Math.random);
    assert.equal(order[0]?.address, 'c');
    assert.deepEqual(new Set(order), new Set(all));
    assert.equal(attemptOrder(all, { address: 'gone', port: 1 }, Math.random).length, 4);
  });
});

describe('the service proxy', () => {
  const api = fakeApi();
  const servers: net.Server[] = [];
  let proxy: ServiceProxy;
  let counter = 0;

  before(async () => {
    proxy = await startServiceProxy({ client: { api }, logger: silent });
  });
  after(async () => {
    await proxy.stop();
    for (const server of servers) server.close();
  });

  async function backend(onSocket: (socket: net.Socket) => void): Promise<string> {
    const address = `127.78.1.${++counter}`;
    const server = net.createServer({ allowHalfOpen: true }, onSocket);
    servers.push(server);
    server.listen(port, address);
    await once(server, 'listening');
    return address;
  }

  /** Creates a Service over the addresses and returns its own. */
  function service(addresses: readonly string[], spec: object = {}): { name: string; address: string } {
    const address = `127.78.2.${++counter}`;
    const name = `s${counter}`;
    api.put(resources.services, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'default' },
      spec: { clusterIP: address, ports: [{ port: 80 }], ...spec },
    });
    endpoints(name, addresses);
    return { name, address };
  }

  function endpoints(name: string, addresses: readonly string[]): void {
    api.put(resources.endpointslices, {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ port }],
      endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    });
  }

  /** Sends, half-closes, and resolves to all that came back. */
  async function exchange(address: string, text: string | Buffer): Promise<Buffer> {
    const socket = net.connect({ host: address, port: 80, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.end(text);
    await once(socket, 'close');
    return Buffer.concat(chunks);
  }

  async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 5_000;
    while (!(await holds())) assert.ok(Date.now() < deadline, what);
  }

  async function untilServed(address: string): Promise<void> {
    await until('served', () =>
      exchange(address, '').then(
        () => true,
        () => false,
      ),
    );
  }

  it('passes large bodies and half-closes both ways', async () => {
    const echo = await backend((socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      // Answers only after the client has said that it is done.
      socket.on('end', () => socket.end(Buffer.concat(chunks)));
    });
    const { address } = service([echo]);
    await untilServed(address);
    const large = Buffer.alloc(8 * 1024 * 1024, 'sluice');
    assert.ok((await exchange(address, large)).equals(large));
  });

  it('spreads over endpoints, passes by those that refuse, and refuses when there is none', async () => {
    const a = await backend((socket) => socket.end('a'));
    const b = await backend((socket) => socket.end('b'));
    const { name, address } = service([a, b, '127.78.1.250']);
    await untilServed(address);
    const answers = await Promise.all(Array.from({ length: 60 }, () => exchange(address, '')));
    const counts = { a: 0, b: 0 };
    for (const answer of answers) counts[answer.toString() as 'a' | 'b']++;
    assert.equal(counts.a + counts.b, 60);
    assert.ok(counts.a > 5 && counts.b > 5, JSON.stringify(counts));
    endpoints(name, []);
    await until('refused', () =>
      exchange(address, '').then(
        () => false,
        (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
      ),
    );
  });

  it('keeps connections when their endpoint is taken out', async () => {
    const first = await backend((socket) => socket.on('data', (chunk: Buffer) => socket.write(`1${chunk}`)));
    const second = await backend((socket) => socket.on('data', (chunk: Buffer) => socket.write(`2${chunk}`)));
    const { name, address } = service([first]);
    await until('open', async () => {
      const probe = net.connect(80, address);
      const opened = await once(probe, 'connect').then(
        () => true,
        () => false,
      );
      probe.destroy();
      return opened;
    });
    const socket = net.connect(80, address);
    socket.write('x');
    assert.equal(String((await once(socket, 'data'))[0]), '1x');
    endpoints(name, [second]);
    await until('moved', async () => {
      const other = net.connect(80, address);
      other.write('y');
      const [answer] = await once(other, 'data');
      other.destroy();
      return String(answer) === '2y';
    });
    socket.write('z');
    assert.equal(String((await once(socket, 'data'))[0]), '1z');
    socket.destroy();
  });

  it('passes a reset on', async () => {
    const rude = await backend((socket) => socket.once('data', () => socket.resetAndDestroy()));
    const { address } = service([rude]);
    const socket = await new Promise<net.Socket>((resolve) => {
      const dial = () => {
        const attempt = net.connect(80, address);
        attempt.once('connect', () => resolve(attempt));
        attempt.once('error', dial);
      };
      dial();
    });
    const failed = once(socket, 'error');
    socket.write('x');
    const [error] = await failed;
    assert.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET');
  });

  it('keeps a client with its endpoint when asked to', async () => {
    const names = await Promise.all(['a', 'b', 'c'].map((name) => backend((socket) => socket.end(name))));
    const { address } = service(names, { sessionAffinity: 'ClientIP' });
    await untilServed(address);
    const answers = new Set<string>();
    for (let i = 0; i < 12; i++) answers.add((await exchange(address, '')).toString());
    assert.equal(answers.size, 1);
  });
});
