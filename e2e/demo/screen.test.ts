import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cut, Screen } from './screen.ts';

function terminal(isTTY: boolean) {
  const written: string[] = [];
  return { written, output: { isTTY, columns: 40, write: (text: string) => written.push(text) } };
}

test('without a terminal there are only finished lines, and no escape codes', () => {
  const { written, output } = terminal(false);
  const screen = new Screen(output, {});
  screen.show(() => ['painted']);
  screen.line(screen.style('red', 'one'));
  screen.hide();
  assert.deepEqual(written, ['one\n']);
});

test('on a terminal a finished line pushes the painted ones down, and hiding leaves none', () => {
  const { written, output } = terminal(true);
  const screen = new Screen(output, {});
  screen.show(() => ['a', 'b']);
  screen.line('finished');
  screen.hide();
  assert.deepEqual(written, [
    '\u001b[?25l',
    'a\nb\n',
    '\u001b[2A\r\u001b[J',
    'finished\n',
    'a\nb\n',
    '\u001b[2A\r\u001b[J',
    '\u001b[?25h',
  ]);
});

test('a painted line is cut to the terminal, styles not counted', () => {
  assert.equal(cut('abcdef', 4), 'abcd');
  assert.equal(cut('\u001b[31mabcdef\u001b[39m', 4), '\u001b[31mabcd\u001b[39m');
  assert.equal(cut('━━━━', 3), '━━━');
});

test('NO_COLOR is obeyed', () => {
  const { output } = terminal(true);
  assert.equal(new Screen(output, { NO_COLOR: '1' }).style('red', 'x'), 'x');
  assert.equal(new Screen(output, {}).style('red', 'x'), '\u001b[31mx\u001b[39m');
});
