/**
 * Where the demo writes: finished lines that stay, and below them a few that are painted over and over. Without a terminal
 * there is nothing to paint over, so only finished lines are written.
 */
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const repaintMs = 120;
const hideCursor = '\u001b[?25l';
const showCursor = '\u001b[?25h';
const eraseDown = '\u001b[J';

export class Screen {
  readonly live: boolean;
  readonly #output: Output;
  readonly #colour: boolean;
  #painted = 0;
  #paint: (() => readonly string[]) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #frame = 0;

  constructor(output: Output, env: NodeJS.ProcessEnv) {
    this.#output = output;
    this.live = output.isTTY === true && env['CI'] === undefined && env['TERM'] !== 'dumb';
    this.#colour = env['FORCE_COLOR'] !== undefined || (this.live && env['NO_COLOR'] === undefined);
  }

  /** Text in a style, where the terminal has styles. */
  style(style: Style, text: string): string {
    return this.#colour ? styleText(style, text, { validateStream: false }) : text;
  }

  /** Columns that a line may take. */
  get width(): number {
    return Math.min(this.#output.columns ?? 100, 110);
  }

  /** A sign of life, one of a turning few. */
  get spinner(): string {
    return frames[this.#frame % frames.length]!;
  }

  /** A line that stays. */
  line(text = ''): void {
    this.#erase();
    this.#output.write(`${text}\n`);
    this.#repaint();
  }

  /** Lines to be kept below all others from now on; asked for anew several times a second. */
  show(paint: () => readonly string[]): void {
    if (!this.live) return;
    this.#erase();
    this.#paint = paint;
    if (this.#timer === undefined) {
      this.#output.write(hideCursor);
      this.#timer = setInterval(() => {
        this.#frame += 1;
        this.#erase();
        this.#repaint();
      }, repaintMs);
    }
    this.#repaint();
  }

  /** Takes the painted lines away. */
  hide(): void {
    this.#erase();
    this.#paint = undefined;
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#output.write(showCursor);
  }

  #erase(): void {
    if (this.#painted > 0) this.#output.write(`\u001b[${this.#painted}A\r${eraseDown}`);
    this.#painted = 0;
  }

  #repaint(): void {
    if (this.#paint === undefined) return;
    const lines = this.#paint();
    this.#output.write(lines.map((line) => `${cut(line, this.width)}\n`).join(''));
    this.#painted = lines.length;
  }
}

/** A line no longer than `width` columns; styles take none. A longer one would wrap and be erased wrongly. */
export function cut(line: string, width: number): string {
  let taken = 0;
  let result = '';
  // biome's rule against control characters in expressions leaves the split by hand.
  for (let at = 0; at < line.length; ) {
    if (line[at] === '\u001b') {
      const end = line.indexOf('m', at) + 1;
      if (end === 0) break;
      result += line.slice(at, end);
      at = end;
      continue;
    }
    const [character] = [...line.slice(at, at + 2)];
    if (taken < width) result += character;
    taken += 1;
    at += character!.length;
  }
  return result;
}
