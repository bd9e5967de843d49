/** What has to be known of JSON text before, or in spite of, parsing it. Linear in its length, and pure. */

const quoteMark = 0x22;
const backslash = 0x5c;

/** How deep arrays and objects are nested. The text need not be valid JSON. */
export function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case quoteMark:
        at = stringEnd(text, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth += 1;
        if (depth > deepest) deepest = depth;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1;
        break;
    }
  }
  return deepest;
}

/** Index of the mark that closes the string opened at `start`; the text's length when there is none. */
function stringEnd(text: string, start: number): number {
  let end = start;
  for (;;) {
    end = text.indexOf('"', end + 1);
    if (end < 0) return text.length;
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === backslash) escapes += 1;
    if (escapes % 2 === 0) return end;
  }
}

/** Whole numbers that may be beyond 2^53; not the digits of a fraction or of an exponent. */
const largeInteger = /(?<![\d.eE+-])-?\d{16,}(?![\d.eE])/g;

/**
 * The same JSON with its large whole numbers as strings, so that parsing keeps their digits.
 * @param text valid JSON
 */
export function quoteLargeIntegers(text: string): string {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; ) {
    const mark = text.indexOf('"', at);
    const end = mark < 0 ? text.length : mark;
    pieces.push(text.slice(at, end).replace(largeInteger, '"$&"'));
    if (mark < 0) break;
    const close = stringEnd(text, mark);
    pieces.push(text.slice(mark, close + 1));
    at = close + 1;
  }
  return pieces.join('');
}
