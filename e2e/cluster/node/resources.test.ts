import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { milli, parseQuantity } from '../quantity.ts';
import { addressesOf, formatAddress, parseAddress } from './addresses.ts';
import { podRequests, refusal } from './admission.ts';
import { devicesOf } from './devices.ts';
import { podObject } from './fake-api.ts';
import { findImage, repositoryOf } from './images.ts';
import type { Container, Pod, Quantities } from './pod.ts';

const with_ = (name: string, limits: Quantities, more: Partial<Container> = {}): Container => ({
  name,
  resources: { limits },
  ...more,
});
const podOf = (containers: Container[], initContainers: Container[] = []): Pod =>
  podObject('p', { containers, initContainers });

describe('quantity', () => {
  const table: [string | number, number][] = [
    ['1', 1],
    ['250m', 0.25],
    ['1.5', 1.5],
    ['2Ki', 2048],
    ['1Gi', 2 ** 30],
    ['3k', 3000],
    ['1e3', 1000],
    ['1E', 1e18],
    ['.5', 0.5],
    [7, 7],
  ];
  for (const [written, value] of table)
    it(`${written} is ${value}`, () => assert.equal(parseQuantity(written), value));
  for (const wrong of ['', 'x', '1 Gi', '1gi', '--1', '0x10', 'Infinity']) {
    it(`${JSON.stringify(wrong)} is none`, () => assert.throws(() => parseQuantity(wrong), RangeError));
  }
  it('is exact in thousandths', () => {
    assert.equal(milli('0.1') + milli('0.2'), milli('300m'));
    assert.equal(milli('100u'), 1);
  });
});

describe('addresses', () => {
  it('are all different, all inside, and come back', () => {
    const addresses = addressesOf('127.3.4.0/29');
    const all = Array.from({ length: 6 }, () => addresses.allocate());
    assert.deepEqual(all, ['127.3.4.1', '127.3.4.2', '127.3.4.3', '127.3.4.4', '127.3.4.5', '127.3.4.6']);
    assert.throws(() => addresses.allocate(), RangeError);
    addresses.release('127.3.4.5');
    addresses.release('127.3.4.2');
    assert.equal(addresses.allocate(), '127.3.4.5', 'the one free longest comes first');
    assert.equal(addresses.allocate('127.3.4.2'), '127.3.4.2');
  });

  it('gives a wanted one only if it is free and inside', () => {
    const addresses = addressesOf('10.0.0.0/24');
    assert.equal(addresses.allocate('10.0.0.9'), '10.0.0.9');
    assert.notEqual(addresses.allocate('10.0.0.9'), '10.0.0.9');
    assert.match(addresses.allocate('10.9.0.9'), /^10\.0\.0\./);
  });

  it('never gives one twice', () => {
    const moves = fc.array(
      fc.record({ take: fc.boolean(), wanted: fc.option(fc.nat(20)), index: fc.nat(20) }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(moves, (list) => {
        const addresses = addressesOf('10.0.0.0/27');
        const held: string[] = [];
        for (const { take, wanted, index } of list) {
          if (take && held.length < 30) {
            const address = addresses.allocate(wanted === null ? undefined : `10.0.0.${wanted}`);
            assert.ok(!held.includes(address));
            held.push(address);
          } else if (held.length > 0) addresses.release(held.splice(index % held.length, 1)[0] ?? '');
        }
      }),
    );
  });

  it('reads and writes', () => {
    assert.equal(formatAddress(parseAddress('127.0.255.1')), '127.0.255.1');
    for (const wrong of ['1.2.3', '1.2.3.256', 'a.b.c.d', '1.2.3.4.5'])
      assert.throws(() => parseAddress(wrong));
  });
});

describe('podRequests', () => {
  it('counts what runs together, and the greatest need on the way up', () => {
    const pod = podOf(
      [
        with_('a', { cpu: '1' }),
        with_('b', { cpu: '500m' }, { resources: { limits: { cpu: '2' }, requests: { cpu: '500m' } } }),
      ],
      [
        with_('i', { cpu: '3' }),
        with_('s', { cpu: '250m' }, { restartPolicy: 'Always' }),
        with_('j', { cpu: '1' }),
      ],
    );
    assert.equal(podRequests(pod).get('cpu'), 3000);
    const wide = podOf([with_('a', { cpu: '3' })], [with_('s', { cpu: '1' }, { restartPolicy: 'Always' })]);
    assert.equal(podRequests(wide).get('cpu'), 4000);
  });
});

describe('refusal', () => {
  const allocatable = { cpu: '2', memory: '1Gi', pods: '3', 'nvidia.com/gpu': '2' };
  it('names the first resource that is short, and how much there is', () => {
    const held = podOf([with_('c', { cpu: '1500m' })]);
    assert.deepEqual(refusal(podOf([with_('c', { cpu: '1', memory: '2Gi' })]), [held], allocatable), {
      reason: 'OutOfcpu',
      message: "Node didn't have enough resource: cpu, requested: 1000, used: 1500, capacity: 2000",
    });
    assert.equal(refusal(podOf([with_('c', {})]), [held, held, held], allocatable)?.reason, 'OutOfpods');
    assert.equal(
      refusal(podOf([with_('c', { 'nvidia.com/gpu': '3' })]), [], allocatable)?.reason,
      'OutOfnvidia.com/gpu',
    );
  });
  it('lets pass what fits, and devices that the node does not know', () => {
    assert.equal(
      refusal(podOf([with_('c', { cpu: '2', 'nvidia.com/gpu': '2' })]), [], allocatable),
      undefined,
    );
    assert.equal(refusal(podOf([with_('c', { 'example.com/thing': '1' })]), [], allocatable), undefined);
  });
});

describe('devices', () => {
  it('go to one container at a time and come back', () => {
    const devices = devicesOf('n', { cpu: '4', 'nvidia.com/gpu': '3' });
    const gpu = (count: number) => with_(`c${count}`, { 'nvidia.com/gpu': count });
    const first = podOf([gpu(1), gpu(2)]);
    const given = devices.allocate(first);
    const all = [
      ...(given.get('c1')?.get('nvidia.com/gpu') ?? []),
      ...(given.get('c2')?.get('nvidia.com/gpu') ?? []),
    ];
    assert.equal(new Set(all).size, 3);
    assert.throws(() => devices.allocate(podOf([gpu(1)])), RangeError);
    devices.release(first.metadata.uid);
    assert.equal(
      devices
        .allocate(podOf([gpu(2)]))
        .get('c2')
        ?.get('nvidia.com/gpu')?.length,
      2,
    );
  });

  it('of an init container are used again by the others', () => {
    const devices = devicesOf('n', { 'nvidia.com/gpu': '2' });
    const pod = podOf([with_('c', { 'nvidia.com/gpu': 2 })], [with_('i', { 'nvidia.com/gpu': 1 })]);
    const given = devices.allocate(pod);
    assert.equal(given.get('c')?.get('nvidia.com/gpu')?.length, 2);
    assert.equal(given.get('i')?.get('nvidia.com/gpu')?.length, 1);
  });
});

describe('images', () => {
  const image = { entrypoint: ['x'] };
  it('are found by repository, whatever the registry, tag and digest', () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    for (const reference of [
      'sluice/runtime',
      'sluice/runtime:1.0',
      `ghcr.io/acme/sluice/runtime:1@${digest}`,
      'localhost:5000/sluice/runtime:dev',
    ]) {
      assert.equal(findImage({ 'sluice/runtime': image }, reference), image, reference);
    }
    assert.equal(findImage({ 'sluice/runtime': image }, 'sluice/other'), undefined);
    assert.equal(findImage({ 'sluice/runtime': image }, 'notsluice/runtime'), undefined);
  });
  it('have well-formed names', () => {
    for (const wrong of ['', 'x/UPPER', 'a b', 'x:', ':x', 'x@sha256:1', '-x'])
      assert.equal(repositoryOf(wrong), undefined, wrong);
  });
});
