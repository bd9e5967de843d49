/** Stores whose certificates nobody public has signed. */
import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { Stage, sha256 } from './testing/stage.ts';

/** For 127.0.0.1, signed by itself, until 2126. The key protects nothing: it is for this test. */
const cert = `-----BEGIN CERTIFICATE-----
MIIBnTCCAUOgAwIBAgIUR0FrxuA0R7sYS8McQpd8xpa5zj8wCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKdGVzdCBzdG9yZTAgFw0yNjExMjUyMzE0MTJaGA8yMTI2MTEw
MTIzMTQxMlowFTETMBEGA1UEAwwKdGVzdCBzdG9yZTBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABHNZP5wQHrmraMqVcmNenpIkgZF0R3kD7sAgbiFW8tZuF71GG3AD
KdNb2/1ZhzSj9OMg0qB+ViCMcZiU2T1ynoOjbzBtMB0GA1UdDgQWBBSwNlc3anby
/zNre+V789Q9oHN3ZjAfBgNVHSMEGDAWgBSwNlc3anby/zNre+V789Q9oHN3ZjAP
BgNVHRMBAf8EBTADAQH/MBoGA1UdEQQTMBGHBH8AAAGCCWxvY2FsaG9zdDAKBggq
hkjOPQQDAgNIADBFAiEA7VsJz0RX/q0yix+lSg0dm2aJ5rXTj9gBIrnF/KraTosC
IBgbAp56id2cidZ/mt4zJwElTjrPJDV7gSzqjeDf04kL
-----END CERTIFICATE-----`;
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgHEJkKZoeXfe5KkQt
chqyd1wpWgOihqB0pNaDNlNDsYShRANCAARzWT+cEB65q2jKlXJjXp6SJIGRdEd5
A+7AIG4hVvLWbhe9RhtwAynTW9v9WYc0o/TjINKgflYgjHGYlNk9cp6D
-----END PRIVATE KEY-----`;

const content = 'a model';

describe('a store with a certificate of its own', () => {
  async function withStore(use: (host: string) => Promise<void>): Promise<void> {
    const server = createServer({ cert, key }, (_, response) => response.end(content));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      await use(`127.0.0.1:${(server.address() as AddressInfo).port}`);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  it('is believed when the Secret has its ca.crt, and only then', async () => {
    await withStore(async (host) => {
      using stage = new Stage({ privateHosts: [host] });
      const uri = `https://${host}/model.onnx`;
      await stage.refuses({ uri }, 'ArtifactUnreachable', /cannot be reached: DEPTH_ZERO_SELF_SIGNED_CERT/);
      const { digest } = await stage.fetch({ uri, credentials: { authorities: cert } });
      assert.equal(digest, sha256(content));
    });
  });

  it('does not make a private address public', async () => {
    await withStore(async (host) => {
      using stage = new Stage({ credentials: { authorities: cert } });
      await stage.refuses({ uri: `https://${host}/model.onnx` }, 'ArtifactRefused', /loopback address/);
    });
  });
});
