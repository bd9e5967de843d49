/** Sound for requests: 16-bit PCM in a WAV file. */

export interface Sound {
  /** Samples of one channel in [-1, 1). */
  readonly samples: Float32Array;
  /** Samples a second. */
  readonly rate: number;
}

/** Reads a mono WAV file of 16-bit PCM. Throws with the reason when it is anything else. */
export function parseWav(file: Buffer): Sound {
  if (
    file.length < 12 ||
    file.toString('latin1', 0, 4) !== 'RIFF' ||
    file.toString('latin1', 8, 12) !== 'WAVE'
  ) {
    throw new Error('not a WAV file');
  }
  let rate: number | undefined;
  for (let at = 12; at + 8 <= file.length; ) {
    const chunk = file.toString('latin1', at, at + 4);
    const size = file.readUInt32LE(at + 4);
    const body = file.subarray(at + 8, at + 8 + size);
    if (chunk === 'fmt ') {
      const [format, channels, bits] = [body.readUInt16LE(0), body.readUInt16LE(2), body.readUInt16LE(14)];
      if (format !== 1 || bits !== 16)
        throw new Error(`format ${format} with ${bits} bits: only 16-bit PCM is read`);
      if (channels !== 1) throw new Error(`${channels} channels: only mono is read`);
      rate = body.readUInt32LE(4);
    } else if (chunk === 'data') {
      if (rate === undefined) throw new Error('the data comes before the format');
      const samples = new Float32Array(Math.floor(body.length / 2));
      for (let index = 0; index < samples.length; index += 1)
        samples[index] = body.readInt16LE(index * 2) / 32768;
      return { samples, rate };
    }
    // Chunks are padded to even lengths.
    at += 8 + size + (size % 2);
  }
  throw new Error('no sound in the file');
}
