/** Steps and expectations of the demo, told as they go. */
import type { Screen } from './screen.ts';

/** One thing that had to be so. */
interface Verdict {
  readonly what: string;
  readonly held: boolean;
  readonly detail: string;
}

export class Steps {
  readonly #screen: Screen;
  readonly #now: () => number;
  readonly #verdicts: Verdict[] = [];

  constructor(screen: Screen, now: () => number) {
    this.#screen = screen;
    this.#now = now;
  }

  /**
   * Runs a step and tells its name, how long it took and what came of it.
   * @param work gets a function that says what it is at, and resolves to what is worth telling.
   */
  async step(name: string, work: (say: (text: string) => void) => Promise<string>): Promise<void> {
    const screen = this.#screen;
    const start = this.#now();
    const seconds = () => `${((this.#now() - start) / 1000).toFixed(1)} s`;
    let doing = '';
    const title = name.padEnd(10);
    if (!screen.live) screen.line(`… ${name}`);
    screen.show(() => [
      `  ${screen.style('cyan', screen.spinner)} ${title} ${screen.style('dim', doing.padEnd(64))}${seconds().padStart(8)}`,
    ]);
    const say = (text: string) => {
      doing = text;
      if (!screen.live) screen.line(`    ${text}`);
    };
    try {
      const result = await work(say);
      screen.hide();
      screen.line(
        `  ${screen.style('green', '✓')} ${title} ${result.padEnd(64)}${screen.style('dim', seconds().padStart(8))}`,
      );
    } catch (error) {
      screen.hide();
      screen.line(`  ${screen.style('red', '✗')} ${title} ${doing.padEnd(64)}${seconds().padStart(8)}`);
      throw error;
    }
  }

  /** Notes whether something that had to be so is so. */
  expect(what: string, held: boolean, detail = ''): void {
    this.#verdicts.push({ what, held, detail });
  }

  get allHeld(): boolean {
    return this.#verdicts.length > 0 && this.#verdicts.every(({ held }) => held);
  }

  /** Every expectation on a line. */
  verdicts(): string[] {
    const { style } = this.#screen;
    const paint = style.bind(this.#screen);
    return this.#verdicts.map(({ what, held, detail }) => {
      const mark = held ? paint('green', '✓') : paint('red', '✗');
      return `  ${mark} ${what}${detail === '' ? '' : paint('dim', `  ${detail}`)}`;
    });
  }
}
