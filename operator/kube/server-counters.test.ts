import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { silent } from '../../kube-client/logger.ts';
import { until } from '../../kube-client/testing/until.ts';
import { systemClock } from '../engine/clock.ts';
import { ManualClock } from '../engine/manual-clock.ts';
import type { ServerPod } from '../reconcile/ports.ts';
import { ServerCounters } from './server-counters.ts';

const pod = (version: string, uid = version): ServerPod => ({ version, uid, address: '127.0.0.1', port: 1 });
const text = (succeeded: number, failed: number): string =>
  `nv_inference_request_success ${succeeded}\nnv_inference_request_failure{reason="BACKEND"} ${failed}\n`;

let ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends) await end();
  ends = [];
});

/** Counters over pods that say what a test wants, and the number of times that they were asked. */
function reading(said: Record<string, string | undefined | Error>) {
  const clock = new ManualClock();
  const asked: string[] = [];
  const counters = new ServerCounters({
    clock,
    logger: silent,
    read: async ({ uid }) => {
      asked.push(uid);
      const answer = said[uid];
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  ends.push(() => counters.stop());
  const round = async () => {
    await clock.advance(2_000);
  };
  return { clock, counters, asked, round };
}

describe('the counters of servers', () => {
  it('are added up over pods from the first reading on, and a pod that begins again loses nothing', async () => {
    const said: Record<string, string | undefined | Error> = { a: text(100, 50), b: text(7, 0) };
    const { counters, round } = reading(said);
    const pods = [pod('5', 'a'), pod('5', 'b')];
    assert.equal(counters.counts('speech/vad', pods).size, 0);
    await round();
    assert.deepEqual(counters.counts('speech/vad', pods).get('5'), { requests: 0, failures: 0 });
    Object.assign(said, { a: text(110, 55), b: text(8, 0) });
    await round();
    assert.deepEqual(counters.counts('speech/vad', pods).get('5'), { requests: 16, failures: 5 });
    Object.assign(said, { a: text(1, 0), b: text(9, 0) });
    await round();
    assert.deepEqual(counters.counts('speech/vad', pods).get('5'), { requests: 17, failures: 5 });
  });

  it('are absent for servers that have none, refuse, or say something else', async () => {
    const { counters, round } = reading({ a: undefined, b: new Error('refused'), c: '<html>' });
    const pods = [pod('5', 'a'), pod('5', 'b'), pod('5', 'c')];
    counters.counts('speech/vad', pods);
    await round();
    assert.equal(counters.counts('speech/vad', pods).size, 0);
  });

  it('are read of a few pods only, and not any more when nobody asks', async () => {
    const { counters, asked, round } = reading({});
    counters.counts(
      'speech/vad',
      Array.from({ length: 100 }, (_, index) => pod('5', `pod-${index}`)),
    );
    await round();
    assert.equal(new Set(asked).size, 16);
    for (let rounds = 0; rounds < 20; rounds += 1) await round();
    const before = asked.length;
    for (let rounds = 0; rounds < 20; rounds += 1) await round();
    assert.equal(asked.length, before);
  });

  it('come over HTTP, but not from an answer that is too long, without end or late', async () => {
    const serve = async (answer: Parameters<typeof createServer>[1] & {}): Promise<number> => {
      const server: Server = createServer(answer);
      ends.push(() => {
        server.closeAllConnections();
        server.close();
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return (server.address() as AddressInfo).port;
    };
    let count = 0;
    let broken = 0;
    const good = await serve((request, response) => {
      count += 10;
      response.writeHead(request.url === '/metrics' ? 200 : 404).end(text(count, 1));
    });
    const endless = await serve((_, response) => {
      response.on('close', () => {
        broken += 1;
      });
      const chunk = '# nothing\n'.repeat(10_000);
      const more = () => {
        while (response.write(chunk));
      };
      response.on('drain', more);
      more();
    });
    const long = await serve((_, response) => {
      response.writeHead(200).end(text(count, 1) + '# nothing\n'.repeat(60_000));
    });
    const silentPort = await serve(() => {});
    const counters = new ServerCounters({ clock: systemClock, logger: silent });
    ends.push(() => counters.stop());
    const pods = [good, endless, silentPort, long].map((port, index) => ({ ...pod(`${index}`), port }));
    await until(
      'a count',
      () => {
        const counts = counters.counts('speech/vad', pods);
        return (counts.get('0')?.requests ?? 0) >= 10 && broken > 0 && counts.size === 1;
      },
      30_000,
    );
  });
});
