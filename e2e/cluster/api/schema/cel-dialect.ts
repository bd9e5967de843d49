/** From CEL as Kubernetes reads it to CEL as the library reads it. Strings are left alone. */

const strings = String.raw`[rR]?"""[\s\S]*?"""|[rR]?'''[\s\S]*?'''|[rR]"[^"]*"|[rR]'[^']*'|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`;

/**
 * - `matches` means RE2 here, so calls of it go to a function of our own.
 * - The library's `has` takes chains of names only; of anything else, such as `has(a[0].b)`, the field is asked for
 *   as an optional one.
 */
export function toLibrary(expression: string): string {
  const text = expression.replaceAll(new RegExp(`${strings}|\\bmatches(?=\\s*\\()`, 'g'), (match) =>
    match === 'matches' ? 're2' : match,
  );
  return replaceHas(text);
}

function replaceHas(text: string): string {
  const token = new RegExp(`${strings}|\\bhas\\s*\\(`, 'g');
  for (const match of text.matchAll(token)) {
    if (!match[0].startsWith('has')) continue;
    const start = match.index + match[0].length;
    const end = closing(text, start);
    const chosen = /^(.*[\])}].*)\.\s*(\w+)\s*$/s.exec(text.slice(start, end));
    if (chosen === null) continue;
    const [, base, name] = chosen;
    return replaceHas(`${text.slice(0, match.index)}(${base}).?${name}.hasValue()${text.slice(end + 1)}`);
  }
  return text;
}

/** Index of the bracket that closes the one before `from`; the end of the text when there is none. */
function closing(text: string, from: number): number {
  const token = new RegExp(`${strings}|[()]`, 'g');
  token.lastIndex = from;
  let depth = 1;
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    if (match[0] === '(') depth += 1;
    else if (match[0] === ')') depth -= 1;
    if (depth === 0) return match.index;
  }
  return text.length;
}
