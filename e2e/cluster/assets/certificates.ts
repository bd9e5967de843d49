import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { bits, integer, objectId, octets, sequence, set, tagged, time, utf8, yes } from './der.ts';

/** A certificate and its private key (EC P-256), both PEM. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
}

export interface Subject {
  /** User name, where the certificate is a client's. */
  readonly commonName: string;
  /** Group, where the certificate is a client's. */
  readonly organization?: string;
  readonly dnsNames?: readonly string[];
  /** IPv4 addresses. */
  readonly addresses?: readonly string[];
}

/** Issues certificates that whoever trusts `cert` (PEM) accepts, of servers and clients alike. */
export interface Authority extends Identity {
  issue(subject: Subject): Identity;
}

const oid = {
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

const dayMs = 86_400_000;
/** A local cluster that lives longer than this is none. */
const validDays = 3650;

/** Makes an authority of its own for one cluster. */
export function createAuthority(commonName: string): Authority {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = { name: nameOf({ commonName }), privateKey: keys.privateKey, publicKey: keys.publicKey };
  const cert = certificate(issuer, issuer.name, keys.publicKey, [
    extension(oid.basicConstraints, sequence(yes), true),
    // digitalSignature, keyCertSign, cRLSign
    extension(oid.keyUsage, bits(Buffer.from([0b10000110]), 1), true),
  ]);
  return {
    cert,
    key: pemOf(keys.privateKey),
    issue(subject) {
      const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const extensions = [
        extension(oid.basicConstraints, sequence(), true),
        extension(oid.keyUsage, bits(Buffer.from([0b10000000]), 7), true),
        extension(oid.extendedKeyUsage, sequence(objectId(oid.serverAuth), objectId(oid.clientAuth))),
      ];
      const names = [
        ...(subject.dnsNames ?? []).map((name) => tagged(0x82, Buffer.from(name))),
        ...(subject.addresses ?? []).map((address) => tagged(0x87, addressBytes(address))),
      ];
      if (names.length > 0) extensions.push(extension(oid.subjectAltName, sequence(...names)));
      return {
        cert: certificate(issuer, nameOf(subject), own.publicKey, extensions),
        key: pemOf(own.privateKey),
      };
    },
  };
}

interface Issuer {
  readonly name: Buffer;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

function certificate(issuer: Issuer, subject: Buffer, key: KeyObject, extensions: readonly Buffer[]): string {
  const algorithm = sequence(objectId(oid.ecdsaWithSha256));
  const serial = randomBytes(16);
  serial[0] = (serial[0] ?? 0) & 0x7f;
  // Clocks of virtual machines may differ a little.
  const from = new Date(Date.now() - dayMs);
  const to = new Date(Date.now() + validDays * dayMs);
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    algorithm,
    issuer.name,
    sequence(time(from), time(to)),
    subject,
    key.export({ type: 'spki', format: 'der' }),
    tagged(
      0xa3,
      sequence(
        ...extensions,
        extension(oid.subjectKeyId, octets(keyId(key))),
        extension(oid.authorityKeyId, sequence(tagged(0x80, keyId(issuer.publicKey)))),
      ),
    ),
  );
  const signature = sign('sha256', body, issuer.privateKey);
  const der = sequence(body, algorithm, bits(signature));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function nameOf({ commonName, organization }: Subject): Buffer {
  const part = (id: string, value: string) => set(sequence(objectId(id), utf8(value)));
  const parts = organization === undefined ? [] : [part(oid.organization, organization)];
  return sequence(...parts, part(oid.commonName, commonName));
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return critical ? sequence(objectId(id), yes, octets(value)) : sequence(objectId(id), octets(value));
}

function keyId(key: KeyObject): Buffer {
  return createHash('sha1')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();
}

function addressBytes(address: string): Buffer {
  if (!isIPv4(address)) throw new RangeError(`not an IPv4 address: ${address}`);
  return Buffer.from(address.split('.').map(Number));
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'sec1', format: 'pem' }).toString();
}
