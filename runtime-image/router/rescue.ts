/**
 * What to do when checks say that nothing is left of a model, though the API says that its pods are ready. On a
 * machine that is short of time every check can be late at once, and then a slow answer is better than none.
 */
import { serverPath } from './config.ts';
import type { Row } from './counters.ts';
import type { Server, State } from './state.ts';

/** A line by which HAProxy says that the last checked server of a backend is out. */
export const lastServerDown = /^(?:\[\w+\].* : )?Server \S+ is DOWN\b.* 0 active and /;

/** The backend of a server that was taken out, of a line of HAProxy's log. Warnings say the same again, with a prefix. */
export const serverDown = /^Server ([hg]\d+)\/\S+ is DOWN\b/;

/** What `toRescue` looks at in a row of `show stat`. */
export const rescueColumns = ['pxname', 'svname', 'status'] as const;

/**
 * Servers to take for healthy again: all of one kind of a model when none of that kind is up, in any version.
 *
 * @param rows of `show stat`, by column name
 */
export function toRescue(state: State, rows: readonly Row<(typeof rescueColumns)[number]>[]): Server[] {
  const up = new Set(
    rows.filter((row) => /^(UP|no check)/.test(row.status ?? '')).map((row) => `${row.pxname}/${row.svname}`),
  );
  const modelOf = new Map(state.slots.map((slot) => [slot.slot, slot.uid]));
  const groups = Map.groupBy(state.servers, ({ slot, kind }) => `${modelOf.get(slot)}/${kind}`);
  return [...groups.values()]
    .filter((servers) => !servers.some((server) => up.has(serverPath(server))))
    .flat();
}
