/** Options of benchmarks: `--name=NUMBER`, and `--help`. */
import { parseArgs } from 'node:util';

export interface Option {
  /** Used when it is not given. */
  readonly otherwise: number;
  readonly most?: number;
  /** What it is, for `--help`. */
  readonly what: string;
}

/**
 * The options given on the command line, whole numbers from 1. `--help` prints them and ends the process.
 * @param command as one types it
 * @throws Error that names an option that is unknown or whose value is none
 */
export function readOptions<Name extends string>(
  command: string,
  about: string,
  options: Readonly<Record<Name, Option>>,
  given: readonly string[] = process.argv.slice(2),
): Readonly<Record<Name, number>> {
  const names = Object.keys(options) as Name[];
  const { values } = parseArgs({
    args: [...given],
    options: {
      help: { type: 'boolean' },
      ...Object.fromEntries(names.map((name) => [name, { type: 'string' } as const])),
    },
  });
  if (values.help) {
    console.log(`${command} [-- OPTIONS]\n\n${about}\n`);
    const longest = Math.max(...names.map(({ length }) => length));
    for (const name of names) {
      const { what, otherwise } = options[name];
      console.log(`  ${`--${name}=N`.padEnd(longest + 6)}${what} (default ${otherwise})`);
    }
    process.exit();
  }
  const texts = values as Readonly<Record<string, string | undefined>>;
  const read = (name: Name): number => {
    const { otherwise, most } = options[name];
    const text = texts[name];
    const value = text === undefined ? otherwise : Number(text);
    if (Number.isInteger(value) && value >= 1 && value <= (most ?? value)) return value;
    const range = most === undefined ? ', and at least 1' : ` from 1 to ${most}`;
    throw new Error(`--${name}=${text} must be a whole number${range}`);
  };
  return Object.fromEntries(names.map((name) => [name, read(name)])) as Record<Name, number>;
}
