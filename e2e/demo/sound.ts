/** A recording and what was heard in it, as two lines of text. Pure. */

const levels = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/** Loudness over time in `width` columns; `samples` are 16-bit PCM. */
export function waveform(samples: Int16Array, width: number): string {
  const loudness = columns(samples, width, (part) => Math.max(...part.map(Math.abs)));
  const loudest = Math.max(...loudness, 1);
  return loudness.map((value) => levels[Math.round((value / loudest) * 8)]).join('');
}

/** Speech (a probability above one half) over time in `width` columns. */
export function speech(probabilities: readonly number[], width: number): string {
  return columns(probabilities, width, (part) => part.reduce((sum, value) => sum + value, 0) / part.length)
    .map((probability) => (probability > 0.5 ? '━' : '·'))
    .join('');
}

function columns<T extends Int16Array | readonly number[]>(
  values: T,
  width: number,
  reduce: (part: number[]) => number,
): number[] {
  return Array.from({ length: width }, (_, index) => {
    const from = Math.floor((index * values.length) / width);
    const to = Math.max(from + 1, Math.floor(((index + 1) * values.length) / width));
    return reduce(Array.from(values.slice(from, to)));
  });
}
