import assert from 'node:assert/strict';
import { test } from 'node:test';
import { takeSlot } from './slot.ts';

test('two clusters never share addresses, and a slot can be had again', async () => {
  const one = await takeSlot(127);
  const two = await takeSlot(127);
  assert.notEqual(one.podCidr, two.podCidr);
  assert.notEqual(one.serviceCidr, two.serviceCidr);
  await one.release();
  const again = await takeSlot(127);
  assert.notEqual(again.podCidr, two.podCidr);
  await Promise.all([two.release(), again.release()]);
});

test('nodes and their pods have addresses of their own within the pod block', async () => {
  const slot = await takeSlot(127);
  const prefix = slot.podCidr.replace('.0.0/16', '');
  assert.equal(slot.nodeCidr(0), `${prefix}.0.0/19`);
  assert.equal(slot.nodeCidr(6), `${prefix}.192.0/19`);
  assert.equal(slot.nodeAddress(6), `${prefix}.255.7`);
  await slot.release();
});
