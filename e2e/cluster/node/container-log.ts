/** Output of one run of a container, in the line format that container runtimes share, bounded in size. */
import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import type { StringDecoder } from 'node:string_decoder';
import { StringDecoder as Decoder } from 'node:string_decoder';
import type { Clock } from './ports.ts';

/** Bytes of one file. Two are kept: the current one and the one before, which ends in `.1`. */
const bound = 10 * 1024 * 1024;
/** Longer lines are written in parts, marked `P`. */
const longestLine = 16 * 1024;
/** Characters kept in memory for `FallbackToLogsOnError`. */
const tailLength = 2048;
const tailLines = 80;

type Stream = 'stdout' | 'stderr';

export class ContainerLog {
  readonly path: string;
  readonly #clock: Clock;
  readonly #decoders: Record<Stream, StringDecoder> = {
    stdout: new Decoder('utf8'),
    stderr: new Decoder('utf8'),
  };
  readonly #rests: Record<Stream, string> = { stdout: '', stderr: '' };
  readonly #listeners = new Set<() => void>();
  #tail = '';
  #file: number | undefined;
  #size = 0;

  constructor(path: string, clock: Clock) {
    this.path = path;
    this.#clock = clock;
    this.#file = openSync(path, 'a', 0o600);
  }

  get isOpen(): boolean {
    return this.#file !== undefined;
  }

  write(stream: Stream, chunk: Buffer): void {
    const text = this.#rests[stream] + this.#decoders[stream].write(chunk);
    const lines = text.split('\n');
    this.#rests[stream] = lines.pop() ?? '';
    const records = lines.flatMap((line) => this.#records(stream, line, 'F'));
    while (this.#rests[stream].length > longestLine) {
      records.push(this.#record(stream, 'P', this.#rests[stream].slice(0, longestLine)));
      this.#rests[stream] = this.#rests[stream].slice(longestLine);
    }
    this.#append(records);
  }

  /** Calls back whenever something was written, and at the end; the result unsubscribes. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The last lines, as a termination message. */
  tail(): string {
    return this.#tail.split('\n').slice(-tailLines).join('\n').slice(-tailLength);
  }

  close(): void {
    if (this.#file === undefined) return;
    for (const stream of ['stdout', 'stderr'] as const) {
      const rest = this.#rests[stream] + this.#decoders[stream].end();
      this.#rests[stream] = '';
      if (rest !== '') this.#append(this.#records(stream, rest, 'P'));
    }
    closeSync(this.#file);
    this.#file = undefined;
    for (const listener of this.#listeners) listener();
  }

  #records(stream: Stream, line: string, last: 'F' | 'P'): string[] {
    const records: string[] = [];
    let rest = line;
    for (; rest.length > longestLine; rest = rest.slice(longestLine)) {
      records.push(this.#record(stream, 'P', rest.slice(0, longestLine)));
    }
    records.push(this.#record(stream, last, rest));
    return records;
  }

  #record(stream: Stream, mark: 'F' | 'P', text: string): string {
    this.#tail = (this.#tail + text + (mark === 'F' ? '\n' : '')).slice(-2 * tailLength);
    return `${nanoTime(this.#clock.now())} ${stream} ${mark} ${text}\n`;
  }

  #append(records: readonly string[]): void {
    if (records.length === 0 || this.#file === undefined) return;
    const bytes = Buffer.from(records.join(''));
    if (this.#size > 0 && this.#size + bytes.length > bound) this.#rotate();
    // Written at once: a reader that is told of a change finds it, and a crash of the node loses nothing.
    writeSync(this.#file, bytes);
    this.#size += bytes.length;
    for (const listener of this.#listeners) listener();
  }

  #rotate(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    rmSync(`${this.path}.1`, { force: true });
    renameSync(this.path, `${this.path}.1`);
    this.#file = openSync(this.path, 'a', 0o600);
    this.#size = 0;
  }
}

/** RFC 3339 with nine digits, of which six are zero: the clock knows milliseconds. */
function nanoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace('Z', '000000Z');
}
