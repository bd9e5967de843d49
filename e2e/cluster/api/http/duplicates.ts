/** Finds keys that occur twice in one object of a JSON text, which `JSON.parse` hides. */

interface Frame {
  readonly path: string;
  readonly keys: Set<string> | undefined;
  index: number;
  key: string;
}

/** @param text valid JSON */
export function duplicateKeys(text: string): string[] {
  const found: string[] = [];
  const stack: Frame[] = [];
  let expectKey = false;
  for (let position = 0; position < text.length; position += 1) {
    const letter = text[position];
    if (letter === '"') {
      const end = stringEnd(text, position);
      const top = stack[stack.length - 1];
      if (expectKey && top?.keys) {
        const raw = text.slice(position, end + 1);
        const key = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
        const path = top.path ? `${top.path}.${key}` : key;
        if (top.keys.has(key)) found.push(path);
        top.keys.add(key);
        top.key = key;
        expectKey = false;
      }
      position = end;
    } else if (letter === '{' || letter === '[') {
      const path = childPath(stack[stack.length - 1]);
      stack.push({ path, keys: letter === '{' ? new Set() : undefined, index: 0, key: '' });
      expectKey = letter === '{';
    } else if (letter === '}' || letter === ']') {
      stack.pop();
      expectKey = false;
    } else if (letter === ',') {
      const top = stack[stack.length - 1];
      if (top?.keys) expectKey = true;
      else if (top) top.index += 1;
    }
  }
  return found;
}

function childPath(parent: Frame | undefined): string {
  if (!parent) return '';
  if (!parent.keys) return `${parent.path}[${parent.index}]`;
  return parent.path ? `${parent.path}.${parent.key}` : parent.key;
}

function stringEnd(text: string, start: number): number {
  for (let position = start + 1; position < text.length; position += 1) {
    if (text[position] === '\\') position += 1;
    else if (text[position] === '"') return position;
  }
  return text.length;
}
