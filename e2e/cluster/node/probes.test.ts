import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import fc from 'fast-check';
import { HealthImplementation } from 'grpc-health-check';
import { type Answer, ask } from './handlers.ts';
import type { ProbeKind } from './lifecycle.ts';
import type { Container, Probe } from './pod.ts';
import { count, type Tally } from './probe-tally.ts';
import { Prober } from './prober.ts';

describe('count', () => {
  it('gives a verdict exactly when the row of equal results reaches the threshold', () => {
    const thresholds = fc.record({
      successThreshold: fc.integer({ min: 1, max: 4 }),
      failureThreshold: fc.integer({ min: 1, max: 4 }),
    });
    fc.assert(
      fc.property(thresholds, fc.array(fc.boolean(), { maxLength: 40 }), (probe, results) => {
        let tally: Tally | undefined;
        for (const [index, ok] of results.entries()) {
          const counted = count(probe, tally, ok);
          tally = counted.tally;
          const needed = ok ? probe.successThreshold : probe.failureThreshold;
          const row = results.slice(Math.max(0, index + 1 - needed), index + 1);
          const complete = row.length === needed && row.every((result) => result === ok);
          assert.equal(counted.verdict, complete ? ok : undefined);
        }
      }),
    );
  });
});

/** A clock that moves only when told, and lets pending promises settle at each step. */
class TestClock {
  time = 0;
  #timers: { at: number; callback: () => void }[] = [];

  now = () => this.time;
  after = (milliseconds: number, callback: () => void) => {
    const timer = { at: this.time + milliseconds, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  };

  async to(time: number): Promise<void> {
    await new Promise(setImmediate);
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= time).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.time = next.at;
      next.callback();
      await new Promise(setImmediate);
    }
    this.time = time;
  }
}

describe('a prober', () => {
  function setUp(container: Partial<Container>, answer: (kind: string) => Answer['result']) {
    const clock = new TestClock();
    const asked: string[] = [];
    const verdicts: string[] = [];
    const kindOf = (probe: Probe) =>
      (['startup', 'readiness', 'liveness'] as const).find((kind) => container[`${kind}Probe`] === probe) ??
      '';
    const prober = new Prober({
      container: { name: 'c', ...container },
      clock,
      startedAt: 0,
      ask: async (probe) => {
        asked.push(`${clock.time / 1000} ${kindOf(probe)}`);
        return { result: answer(kindOf(probe)), output: '' };
      },
      onVerdict: (kind: ProbeKind, ok) => verdicts.push(`${clock.time / 1000} ${kind} ${ok}`),
      onTrouble: () => {},
    });
    return { clock, asked, verdicts, prober };
  }

  it('asks at once, then each period', async () => {
    const { clock, asked, verdicts, prober } = setUp(
      { readinessProbe: { periodSeconds: 2 } },
      () => 'success',
    );
    await clock.to(5_000);
    prober.stop();
    await clock.to(60_000);
    assert.deepEqual(asked, ['0 readiness', '2 readiness', '4 readiness']);
    assert.equal(verdicts[0], '0 readiness true');
  });

  it('lets the initial delay pass', async () => {
    const { clock, asked } = setUp(
      { readinessProbe: { periodSeconds: 2, initialDelaySeconds: 3 } },
      () => 'success',
    );
    await clock.to(5_000);
    assert.deepEqual(asked, ['4 readiness']);
  });

  it('asks the others only once startup has passed, and then at once', async () => {
    const at = { passed: false };
    const { clock, asked } = setUp(
      {
        startupProbe: { periodSeconds: 5 },
        readinessProbe: { periodSeconds: 10 },
        livenessProbe: { periodSeconds: 10 },
      },
      (kind) => (kind === 'startup' && !at.passed ? 'failure' : 'success'),
    );
    await clock.to(6_000);
    at.passed = true;
    await clock.to(15_000);
    assert.deepEqual(asked, ['0 startup', '5 startup', '10 startup', '10 readiness', '10 liveness']);
  });

  it('says once that a container is dead, and asks about life no more', async () => {
    const { clock, asked, verdicts } = setUp(
      { livenessProbe: { periodSeconds: 1, failureThreshold: 3 } },
      () => 'failure',
    );
    await clock.to(10_000);
    assert.equal(asked.length, 3);
    assert.deepEqual(verdicts, ['2 liveness false']);
  });

  it('goes on asking for readiness while the container comes down', async () => {
    const { clock, asked, prober } = setUp(
      { readinessProbe: { periodSeconds: 1 }, livenessProbe: { periodSeconds: 1 } },
      () => 'success',
    );
    await clock.to(500);
    prober.drain();
    await clock.to(2_500);
    assert.deepEqual(asked.slice(2), ['1 readiness', '2 readiness']);
  });

  it('asks again at once when the question could not be put, and counts nothing', async () => {
    const { clock, asked, verdicts } = setUp(
      { readinessProbe: { periodSeconds: 10, failureThreshold: 1 } },
      () => 'unknown',
    );
    await clock.to(1_000);
    assert.equal(asked.length, 3);
    assert.deepEqual(verdicts, []);
  });
});

describe('ask', () => {
  const container: Container = { name: 'c', ports: [{ name: 'web', containerPort: 0 }] };
  const exec = async () => ({ exitCode: 0, output: '' });
  const health = new HealthImplementation({ '': 'SERVING', down: 'NOT_SERVING' });
  const grpc = new Server();
  const silent = net.createServer();
  let requests: http.IncomingMessage[] = [];
  const web = http.createServer((request, response) => {
    requests.push(request);
    const [, code = '200', target] = /^\/(\d+)(?:\?to=(.*))?$/.exec(request.url ?? '') ?? [];
    if (request.url === '/silent') return;
    response.writeHead(Number(code), target ? { location: decodeURIComponent(target) } : {});
    response.end('body');
  });
  let port = 0;
  let grpcPort = 0;
  let closedPort = 0;

  before(async () => {
    web.listen(0, '127.0.0.1');
    await once(web, 'listening');
    port = (web.address() as AddressInfo).port;
    health.addToServer(grpc);
    grpcPort = await new Promise((resolve, reject) =>
      grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const closed = net.createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    closedPort = (closed.address() as AddressInfo).port;
    closed.close();
  });
  after(() => {
    web.close();
    web.closeAllConnections();
    grpc.forceShutdown();
    silent.close();
  });

  const put = (probe: Probe, timeout = 1_000) => ask(probe, container, '127.0.0.1', timeout, exec);
  const getPath = (path: string, timeout?: number) => put({ httpGet: { path, port } }, timeout);

  it('takes 200 to 399 for a success', async () => {
    for (const [code, result] of [
      [200, 'success'],
      [204, 'success'],
      [304, 'success'],
      [400, 'failure'],
      [503, 'failure'],
    ] as const) {
      assert.equal((await getPath(`/${code}`)).result, result, String(code));
    }
    assert.equal((await getPath('/503')).output, 'HTTP probe failed with statuscode: 503');
  });

  it('follows redirects within the host, and stops at others', async () => {
    assert.equal((await getPath(`/302?to=${encodeURIComponent('/503')}`)).result, 'failure');
    assert.equal(
      (await getPath(`/302?to=${encodeURIComponent('http://elsewhere.example/')}`)).result,
      'warning',
    );
    const loop = await getPath(`/302?to=${encodeURIComponent('/302?to=%2F302')}`);
    assert.ok(['success', 'failure'].includes(loop.result));
  });

  it('sends the headers it is told to', async () => {
    requests = [];
    const httpHeaders = [
      { name: 'X-Tenant', value: 'a' },
      { name: 'user-agent', value: 'mine' },
    ];
    await put({ httpGet: { path: '/200', port, httpHeaders } });
    assert.equal(requests[0]?.headers['x-tenant'], 'a');
    assert.equal(requests[0]?.headers['user-agent'], 'mine');
    await put({ httpGet: { path: '/200', port } });
    assert.match(requests[1]?.headers['user-agent'] ?? '', /^kube-probe\//);
  });

  it('tells refused from late', async () => {
    const refused = await put({ httpGet: { path: '/x', port: closedPort } });
    assert.equal(
      refused.output,
      `Get "http://127.0.0.1:${closedPort}/x": dial tcp 127.0.0.1:${closedPort}: connect: connection refused`,
    );
    const late = await getPath('/silent', 50);
    assert.match(late.output, /context deadline exceeded/);
  });

  it('finds ports by name, and does not count a name that is not there', async () => {
    const named = { ...container, ports: [{ name: 'web', containerPort: port }] };
    assert.equal(
      (await ask({ tcpSocket: { port: 'web' } }, named, '127.0.0.1', 1_000, exec)).result,
      'success',
    );
    assert.equal((await put({ tcpSocket: { port: 'nothing' } })).result, 'unknown');
  });

  it('connects', async () => {
    assert.equal((await put({ tcpSocket: { port } })).result, 'success');
    const { result, output } = await put({ tcpSocket: { port: closedPort } });
    assert.deepEqual(
      [result, output],
      ['failure', `dial tcp 127.0.0.1:${closedPort}: connect: connection refused`],
    );
  });

  it('asks grpc.health.v1', async () => {
    assert.equal((await put({ grpc: { port: grpcPort } })).result, 'success');
    const down = await put({ grpc: { port: grpcPort, service: 'down' } });
    assert.deepEqual(down, { result: 'failure', output: 'service unhealthy (responded with "NOT_SERVING")' });
    assert.equal((await put({ grpc: { port: closedPort } })).result, 'failure');
    const late = await put({ grpc: { port: (silent.address() as AddressInfo).port } }, 100);
    assert.equal(late.result, 'failure');
    assert.match(late.output, /100ms/);
    const unknown = await put({ grpc: { port: grpcPort, service: 'nobody' } });
    assert.match(unknown.output, /^error: health rpc probe failed/);
    assert.equal((await put({ grpc: { port } })).result, 'failure');
  });

  it('runs commands', async () => {
    const answer = (exitCode: number | undefined) =>
      ask({ exec: { command: ['x'] } }, container, '127.0.0.1', 1_000, async () => ({
        exitCode,
        output: 'said',
      }));
    assert.deepEqual(await answer(0), { result: 'success', output: 'said' });
    assert.deepEqual(await answer(1), { result: 'failure', output: 'said' });
    assert.match((await answer(undefined)).output, /timed out after 1s/);
  });
});
