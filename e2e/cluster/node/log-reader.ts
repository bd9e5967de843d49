/** Reads what `container-log.ts` wrote, as `kubectl logs` asks for it. */
import { type FileHandle, open, stat } from 'node:fs/promises';
import type { ContainerLog } from './container-log.ts';

export interface LogQuery {
  readonly follow?: boolean;
  readonly timestamps?: boolean;
  readonly tailLines?: number;
  readonly limitBytes?: number;
  /** Milliseconds since the epoch. */
  readonly since?: number;
  readonly stream?: 'stdout' | 'stderr';
}

interface LogRecord {
  readonly time: string;
  readonly stream: string;
  readonly isWhole: boolean;
  readonly text: string;
}

/**
 * @param live the log while it is written: `follow` ends when it is closed. Absent: there is nothing to wait for.
 * @param signal ends the reading.
 */
export async function* readLog(
  path: string,
  query: LogQuery,
  live: ContainerLog | undefined,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let left = query.limitBytes ?? Number.POSITIVE_INFINITY;
  const format = (records: readonly LogRecord[]) => {
    const text = records
      .filter(({ time, stream }) => {
        const isLate = query.since === undefined || Date.parse(time) >= query.since;
        return isLate && (query.stream === undefined || stream === query.stream);
      })
      .map(({ time, text, isWhole }) => `${query.timestamps ? `${time} ` : ''}${text}${isWhole ? '\n' : ''}`)
      .join('');
    const bytes = Buffer.byteLength(text);
    const result = bytes > left ? Buffer.from(text).subarray(0, left).toString() : text;
    left -= bytes;
    return result;
  };
  const tail = new Tail(path);
  try {
    const older = await Tail.whole(`${path}.1`);
    const records = [...older, ...(await tail.read())];
    yield format(lastLines(records, query.tailLines));
    while (query.follow && live && left > 0 && !signal.aborted) {
      const wasOpen = live.isOpen;
      const fresh = await tail.read();
      if (fresh.length > 0) yield format(fresh);
      else if (!wasOpen) return;
      else await changed(live, signal);
    }
  } finally {
    await tail.close();
  }
}

/** Records from the start of the n-th last line on. */
function lastLines(records: readonly LogRecord[], lines: number | undefined): readonly LogRecord[] {
  if (lines === undefined) return records;
  let start = records.length;
  for (let left = lines; start > 0; start--) {
    const isEnd = records[start - 1]?.isWhole || start === records.length;
    if (isEnd && left-- === 0) break;
  }
  return records.slice(start);
}

function changed(log: ContainerLog, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      unsubscribe();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const unsubscribe = log.onChange(done);
    signal.addEventListener('abort', done);
    if (!log.isOpen || signal.aborted) done();
  });
}

/** Follows a file over its rotation. */
class Tail {
  readonly #path: string;
  #file: FileHandle | undefined;
  #rest = Buffer.alloc(0);

  constructor(path: string) {
    this.#path = path;
  }

  static async whole(path: string): Promise<readonly LogRecord[]> {
    const tail = new Tail(path);
    try {
      return await tail.read();
    } finally {
      await tail.close();
    }
  }

  /** All whole records since the last call. */
  async read(): Promise<readonly LogRecord[]> {
    const records: LogRecord[] = [];
    for (;;) {
      this.#file ??= await open(this.#path).catch(() => undefined);
      if (!this.#file) return records;
      records.push(...(await this.#drain(this.#file)));
      const [own, current] = await Promise.all([this.#file.stat(), stat(this.#path).catch(() => undefined)]);
      if (!current || own.ino === current.ino) return records;
      // Rotated: what was written between the last read and the rotation is still in the old file.
      records.push(...(await this.#drain(this.#file)));
      await this.#file.close();
      this.#file = undefined;
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  async #drain(file: FileHandle): Promise<readonly LogRecord[]> {
    const chunks = [this.#rest];
    const chunk = Buffer.alloc(256 * 1024);
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) break;
      chunks.push(Buffer.from(chunk.subarray(0, bytesRead)));
    }
    const bytes = Buffer.concat(chunks);
    const end = bytes.lastIndexOf(0x0a) + 1;
    this.#rest = bytes.subarray(end);
    const lines = bytes.subarray(0, end).toString().split('\n');
    lines.pop();
    return lines.flatMap((line) => {
      const [, time, stream, mark, text] = /^(\S+) (stdout|stderr) ([FP]) (.*)$/s.exec(line) ?? [];
      if (time === undefined || stream === undefined || text === undefined) return [];
      return [{ time, stream, isWhole: mark === 'F', text }];
    });
  }
}
