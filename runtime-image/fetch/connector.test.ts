/** Connections by name: what a name resolves to decides, each time, and not what it is called. */
import assert from 'node:assert/strict';
import type { LookupAddress } from 'node:dns';
import { describe, it } from 'node:test';
import { request } from 'undici';
import { PrivateHosts } from './address-policy.ts';
import { AddressRefused, createAgent, type Resolve } from './connector.ts';
import { TestServer } from './testing/stage.ts';

/** Answers one after another, and the last one for ever. */
function resolving(...answers: readonly (readonly string[])[]): Resolve & { readonly asked: string[] } {
  const asked: string[] = [];
  const resolve = (host: string, _options: object, done: Parameters<Resolve>[2]) => {
    const addresses = answers[Math.min(asked.push(host), answers.length) - 1] ?? [];
    done(
      null,
      addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
  return Object.assign(resolve, { asked });
}

async function refusal(url: string, resolve: Resolve, privateHosts: readonly string[] = []): Promise<string> {
  const dispatcher = createAgent({ privateHosts: new PrivateHosts(privateHosts), resolve });
  try {
    await request(url, { dispatcher });
  } catch (thrown) {
    if (thrown instanceof AddressRefused) return thrown.message;
    throw thrown;
  } finally {
    await dispatcher.destroy();
  }
  return 'not refused';
}

describe('connections', () => {
  const names: readonly [host: string, address: string, why: RegExp][] = [
    ['kubernetes.default.svc', '10.96.0.1', /private address/],
    ['vad.speech.svc.cluster.local', '172.20.3.4', /private address/],
    ['metadata.google.internal', '169.254.169.254', /link-local address/],
    ['localtest.example', '127.0.0.1', /loopback address/],
    ['six.example', '::1', /not a public IPv6 address/],
    ['mapped.example', '::ffff:169.254.169.254', /not a public IPv6 address/],
    ['unique.example', 'fd00:ec2::254', /not a public IPv6 address/],
  ];
  for (const [host, address, why] of names) {
    it(`refuses ${host}, which is ${address}`, async () => {
      assert.match(await refusal(`https://${host}/`, resolving([address])), why);
    });
  }

  it('refuses a name of which one address is bad', async () => {
    assert.match(
      await refusal('https://mixed.example/', resolving(['93.184.215.14', '10.0.0.1'])),
      /10\.0\.0\.1/,
    );
  });

  it('refuses a name that is rebound between two connections', async () => {
    await using server = await TestServer.start((_, response) => response.end('content'));
    const port = server.host.split(':')[1];
    const resolve = resolving(['127.0.0.1']);
    // The first connection is allowed by the administrator's word, and shows that the name leads there.
    const host = `store.example:${port}`;
    const trusting = createAgent({ privateHosts: new PrivateHosts([`127.0.0.1:${port}`]), resolve });
    assert.equal((await request(server.url, { dispatcher: trusting })).statusCode, 200);
    await trusting.destroy();
    assert.match(await refusal(`http://${host}/`, resolve, [`127.0.0.1:${port}`]), /loopback address/);
    assert.equal(server.requests.length, 1);
  });

  it('asks for the name again for every connection', async () => {
    const resolve = resolving(['127.0.0.1'], ['169.254.169.254']);
    assert.match(await refusal('https://rebound.example/', resolve), /127\.0\.0\.1/);
    assert.match(await refusal('https://rebound.example/', resolve), /169\.254\.169\.254/);
    assert.deepEqual(resolve.asked, ['rebound.example', 'rebound.example']);
  });
});
