/** The cluster's own certificate authority: ECDSA P-256, made once per data directory. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { bits, explicit, implicit, integer, octets, oid, sequence, set, time, truth, utf8 } from './der.ts';

export interface KeyPair {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS #8. */
  readonly key: string;
}

interface Authority extends KeyPair {
  readonly name: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'));
const validity = 10 * 365 * 24 * 3600 * 1000;

function distinguishedName(commonName: string, organizations: readonly string[]): Buffer {
  const attribute = (type: string, value: string) => set(sequence(oid(type), utf8(value)));
  return sequence(
    ...organizations.map((each) => attribute('2.5.4.10', each)),
    attribute('2.5.4.3', commonName),
  );
}

function extension(id: string, critical: boolean, content: Buffer): Buffer {
  return sequence(oid(id), ...(critical ? [truth(true)] : []), octets(content));
}

function keyIdentifier(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();
}

function issue(options: {
  subject: Buffer;
  issuer: Buffer;
  publicKey: KeyObject;
  issuerKey: KeyObject;
  issuerPublicKey: KeyObject;
  extensions: Buffer[];
}): string {
  const now = Date.now();
  const body = sequence(
    explicit(0, integer(2)),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ecdsaWithSha256,
    options.issuer,
    sequence(time(new Date(now - 3600_000)), time(new Date(now + validity))),
    options.subject,
    options.publicKey.export({ type: 'spki', format: 'der' }),
    explicit(
      3,
      sequence(
        ...options.extensions,
        extension('2.5.29.14', false, octets(keyIdentifier(options.publicKey))),
        extension('2.5.29.35', false, sequence(implicit(0, keyIdentifier(options.issuerPublicKey)))),
      ),
    ),
  );
  const signature = sign('sha256', body, options.issuerKey);
  const certificate = sequence(body, ecdsaWithSha256, bits(signature));
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function newKeys(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function exportKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

export function createAuthority(name: string): Authority {
  const { publicKey, privateKey } = newKeys();
  const subject = distinguishedName(name, []);
  const certificate = issue({
    subject,
    issuer: subject,
    publicKey,
    issuerKey: privateKey,
    issuerPublicKey: publicKey,
    extensions: [
      extension('2.5.29.19', true, sequence(truth(true))),
      // digitalSignature, keyEncipherment, keyCertSign
      extension('2.5.29.15', true, bits(Buffer.from([0b10100100]), 2)),
    ],
  });
  return { name, certificate, key: exportKey(privateKey), privateKey, publicKey };
}

/** A certificate for servers (with `hosts`) and clients (by `name` and `organizations`) alike. */
export function issueCertificate(
  authority: Authority,
  options: { name: string; organizations?: readonly string[]; hosts?: readonly string[] },
): KeyPair {
  const { publicKey, privateKey } = newKeys();
  const hosts = options.hosts ?? [];
  const names = hosts.map((host) =>
    isIPv4(host) ? implicit(7, Buffer.from(host.split('.').map(Number))) : implicit(2, Buffer.from(host)),
  );
  const certificate = issue({
    subject: distinguishedName(options.name, options.organizations ?? []),
    issuer: distinguishedName(authority.name, []),
    publicKey,
    issuerKey: authority.privateKey,
    issuerPublicKey: authority.publicKey,
    extensions: [
      extension('2.5.29.19', true, sequence()),
      extension('2.5.29.15', true, bits(Buffer.from([0b10100000]), 5)),
      extension('2.5.29.37', false, sequence(oid('1.3.6.1.5.5.7.3.1'), oid('1.3.6.1.5.5.7.3.2'))),
      ...(names.length > 0 ? [extension('2.5.29.17', false, sequence(...names))] : []),
    ],
  });
  return { certificate, key: exportKey(privateKey) };
}
