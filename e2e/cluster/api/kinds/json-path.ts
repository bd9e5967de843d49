/** The JSON paths of printer columns: members, indexes, wildcards and filters by equality. */
import { asObject, isObject, type Json, own } from '../json.ts';

type Step = (value: Json) => Json[];

const token =
  /^\.([A-Za-z0-9_-]+)|^\['((?:[^'\\]|\\.)*)'\]|^\[(-?\d+)\]|^(?:\.|\[)\*\]?|^\[\?\(@\.([A-Za-z0-9_.-]+)\s*==\s*(?:'([^']*)'|"([^"]*)"|([^)]*))\)\]/;

function member(name: string): Step {
  const key = name.replaceAll(/\\(.)/g, '$1');
  return (value) => {
    const found = isObject(value) ? own(value, key) : undefined;
    return found === undefined ? [] : [found];
  };
}

function parse(path: string): Step[] {
  const steps: Step[] = [];
  // An escaped dot belongs to the name, as in .metadata.labels.app\.kubernetes\.io/name
  let rest = path.startsWith('.') || path.startsWith('[') ? path : `.${path}`;
  while (rest !== '') {
    const escaped = /^\.((?:[^.[\]\\]|\\.)+)/.exec(rest);
    const match = escaped && escaped[1] !== '*' ? null : token.exec(rest);
    if (escaped && !match) {
      steps.push(member(escaped[1]!));
      rest = rest.slice(escaped[0].length);
      continue;
    }
    if (!match) throw new Error(`the JSON path ${path} is not understood`);
    rest = rest.slice(match[0].length);
    const [, name, quoted, index, filter, single, double, bare] = match;
    if (name !== undefined) steps.push(member(name));
    else if (quoted !== undefined) steps.push(member(quoted));
    else if (index !== undefined) {
      steps.push((value) => {
        const item = Array.isArray(value) ? value.at(Number(index)) : undefined;
        return item === undefined ? [] : [item];
      });
    } else if (filter !== undefined) {
      const wanted = single ?? double ?? bare!.trim();
      const inner = filter.split('.').map(member);
      steps.push((value) =>
        (Array.isArray(value) ? value : []).filter((item) =>
          run(inner, item).some((each) => String(each) === wanted),
        ),
      );
    } else {
      steps.push((value) =>
        Array.isArray(value) ? value : Object.values(asObject(value)).filter((each) => each !== undefined),
      );
    }
  }
  return steps;
}

function run(steps: readonly Step[], value: Json): Json[] {
  let values: Json[] = [value];
  for (const step of steps) values = values.flatMap(step);
  return values;
}

const parsed = new Map<string, Step[]>();

/** All values at `path`. @throws when the path is not understood */
export function readPath(value: Json, path: string): Json[] {
  let steps = parsed.get(path);
  if (!steps) {
    steps = parse(path);
    parsed.set(path, steps);
  }
  return run(steps, value);
}
