/**
 * What users of other systems suffer from, each pain by its number, and that it does not happen here: the promises are tried on
 * real processes and under real requests, none of which may be lost while a healthy version exists.
 *
 * Seven stories, two at a time, each in a namespace of its own.
 */
import { suite } from 'node:test';
import type { Session } from '../harness/session.ts';
import { capacity } from './capacity.ts';
import { carrying } from './carrying.ts';
import { failing } from './failing.ts';
import { rollout } from './rollout.ts';
import { room } from './room.ts';
import { swapping } from './swapping.ts';
import { waiting } from './waiting.ts';

export function pains(session: () => Session): void {
  suite('pains', { concurrency: 2 }, () => {
    rollout(session);
    failing(session);
    capacity(session);
    waiting(session);
    carrying(session);
    room(session);
    swapping(session);
  });
}
