import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { kernelAddress, silentMachines, unreachable } from './silence.ts';

/** A line of `/proc/net/tcp`; times in hundredths of a second, all but the last in hexadecimal. */
const row = (state: string, timer: string, again: string, unanswered: string) =>
  ` 519: 0101C80A:ECC2 0201C80A:46A0 ${state} 00000053:00000000 ${timer} ${again}     0        ${unanswered} 18670145 3 000000006ef0ab60 81 4 31 1 -1`;
const header =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';

describe('a machine', () => {
  const cases: readonly [what: string, line: string, silent: boolean][] = [
    ['to which data was sent a third time', row('01', '01:0000000E', '00000002', '0'), true],
    ['to which data was sent again once', row('01', '01:0000000E', '00000001', '0'), false],
    ['that acknowledges, and has no room', row('01', '04:0000000E', '00000005', '3'), false],
    ['that has just been asked whether it is there', row('01', '02:00000063', '00000000', '1'), false],
    ['that has not said for long whether it is there', row('01', '02:0000004A', '00000000', '1'), true],
    ['that has not said at all', row('01', '02:00000063', '00000000', '2'), true],
    ['that is idle', row('01', '02:00000010', '00000000', '0'), false],
    ['to which a connection is still made', row('02', '01:0000000E', '00000003', '0'), false],
  ];
  for (const [what, line, silent] of cases) {
    it(`${what} is ${silent ? '' : 'not '}silent`, () => {
      const machines = silentMachines([`${header}\n${line}\n`]);
      assert.deepEqual([...machines], silent ? [kernelAddress('10.200.1.2')] : []);
    });
  }

  it('is not silent while it answers on any connection', () => {
    const resent = row('01', '01:0000000E', '00000004', '0');
    assert.equal(silentMachines([resent, row('01', '02:00000010', '00000000', '0')]).size, 0);
    assert.equal(silentMachines([resent, row('01', '02:00000010', '00000000', '1')]).size, 1);
  });

  it('is known by the kernel’s notation, over IPv6 too', () => {
    assert.equal(kernelAddress('127.0.0.1'), '0100007F');
    assert.equal(kernelAddress('::1'), '00000000000000000000000001000000');
    assert.equal(kernelAddress('fd00:1:2::3:4'), '010000FD000002000000000004000300');
  });

  it('of a server that cannot be reached is looked at, and of no other', () => {
    const down = (reason: string) => `Server h7/10.0.0.1_80 is DOWN, reason: ${reason}, check duration: 1ms.`;
    for (const layer of [4, 7]) assert.equal(unreachable(down(`Layer${layer} timeout`)), 'h7/10.0.0.1_80');
    const analysed =
      'Health analyze, info: "Detected 3 consecutive errors, last one was: L4 unsuccessful connection"';
    assert.equal(unreachable(down(analysed)), 'h7/10.0.0.1_80');
    for (const reason of ['Layer7 wrong status, code: 503', 'Layer4 connection problem'])
      assert.equal(unreachable(down(reason)), undefined);
    assert.equal(unreachable('Server codes/x is DOWN, reason: Layer4 timeout'), undefined);
  });
});
