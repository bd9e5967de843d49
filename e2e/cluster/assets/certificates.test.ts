import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { createAuthority } from './certificates.ts';

test('an issued certificate names its subject, its addresses and its issuer', () => {
  const authority = createAuthority('test-ca');
  const identity = authority.issue({
    commonName: 'system:admin',
    organization: 'system:masters',
    dnsNames: ['localhost', 'kubernetes.default.svc'],
    addresses: ['127.0.0.1', '10.96.0.1'],
  });
  const certificate = new X509Certificate(identity.cert);
  const root = new X509Certificate(authority.cert);
  assert.equal(certificate.subject, 'O=system:masters\nCN=system:admin');
  assert.equal(certificate.issuer, 'CN=test-ca');
  assert.equal(
    certificate.subjectAltName,
    'DNS:localhost, DNS:kubernetes.default.svc, IP Address:127.0.0.1, IP Address:10.96.0.1',
  );
  assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  assert.ok(certificate.verify(root.publicKey));
  assert.ok(certificate.checkIssued(root));
  assert.ok(certificate.checkPrivateKey(createPrivateKey(identity.key)));
  assert.ok(root.ca);
  assert.ok(!certificate.ca);
});

test('both ends of a TLS connection accept it, and know the client by it', async () => {
  const authority = createAuthority('test-ca');
  const server = authority.issue({ commonName: 'server', addresses: ['127.0.0.1'] });
  const client = authority.issue({ commonName: 'someone', organization: 'a-group' });
  const listener = createServer({
    ...server,
    ca: authority.cert,
    requestCert: true,
    rejectUnauthorized: true,
  });
  const peer = new Promise<unknown>((resolve, reject) => {
    listener.once('secureConnection', (socket) => {
      resolve(socket.getPeerCertificate().subject);
      socket.end();
    });
    listener.once('tlsClientError', reject);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  assert.ok(address !== null && typeof address === 'object');
  const socket = connect({ host: '127.0.0.1', port: address.port, ca: authority.cert, ...client });
  const closed = new Promise((resolve) => socket.once('close', resolve).resume());
  assert.deepEqual({ ...((await peer) as object) }, { O: 'a-group', CN: 'someone' });
  await closed;
  listener.close();
});

test('another authority of the same name is not trusted', () => {
  const identity = createAuthority('test-ca').issue({ commonName: 'someone' });
  const other = new X509Certificate(createAuthority('test-ca').cert);
  assert.ok(!new X509Certificate(identity.cert).verify(other.publicKey));
});
