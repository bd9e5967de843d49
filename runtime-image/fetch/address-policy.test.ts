import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PrivateHosts, refusal } from './address-policy.ts';

describe('refusal', () => {
  const refused = [
    ...[
      '0.0.0.0',
      '10.0.0.1',
      '100.64.0.1',
      '127.0.0.1',
      '127.255.255.254',
      '169.254.169.254',
      '172.16.0.1',
      '172.31.255.255',
    ],
    ...[
      '192.0.0.192',
      '192.168.1.1',
      '198.18.0.1',
      '224.0.0.1',
      '239.255.255.255',
      '240.0.0.1',
      '255.255.255.255',
      '168.63.129.16',
    ],
    ...[
      '::',
      '::1',
      '::ffff:127.0.0.1',
      '::ffff:8.8.8.8',
      '::ffff:7f00:1',
      '64:ff9b::8.8.8.8',
      'fc00::1',
      'fd00:ec2::254',
      'fe80::1',
      'fe80::1%eth0',
    ],
    ...[
      'ff02::1',
      '2001:db8::1',
      '2002:7f00:1::',
      '2001::1',
      '3fff::1',
      '0:0:0:0:0:0:0:1',
      '::127.0.0.1',
      '100::1',
    ],
    ...['', 'localhost', '1.2.3', '0x7f.1', '2130706433'],
  ];
  for (const address of refused) {
    it(`refuses ${address || 'nothing'}`, () => assert.notEqual(refusal(address), undefined));
  }

  for (const address of [
    '8.8.8.8',
    '1.1.1.1',
    '172.15.0.1',
    '172.32.0.1',
    '100.63.0.1',
    '100.128.0.1',
    '2606:4700::1111',
    '2a00:1450:4001::1',
  ]) {
    it(`lets ${address} pass`, () => assert.equal(refusal(address), undefined));
  }

  it('refuses every IPv4 address that is mapped into IPv6', () => {
    fc.assert(fc.property(fc.ipV4(), (address) => refusal(`::ffff:${address}`) !== undefined));
  });
});

describe('PrivateHosts', () => {
  const hosts = new PrivateHosts(['store.internal', 'Other.internal:9000', '[fd00::1]:8443', '10.0.0.5:80']);
  const cases: readonly [host: string, port: number, allowed: boolean][] = [
    ['store.internal', 443, true],
    ['STORE.internal', 9000, true],
    ['other.internal', 9000, true],
    ['other.internal', 9001, false],
    ['fd00::1', 8443, true],
    ['fd00::1', 443, false],
    ['10.0.0.5', 80, true],
    ['evil-store.internal', 443, false],
  ];
  for (const [host, port, allowed] of cases) {
    it(`${allowed ? 'allows' : 'does not allow'} ${host} at ${port}`, () =>
      assert.equal(hosts.allows(host, port), allowed));
  }
});
