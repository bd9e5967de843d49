/** How far the fetching of one artifact is. What archives expand to does not count, only what comes. */
import type { PartialFile } from './partial-file.ts';
import type { Blob } from './sources/plan.ts';

type Arriving = Pick<PartialFile, 'bytes' | 'expected'>;
type Announced = Pick<Blob, 'bytes'>;

export class Progress {
  #before = 0;
  #file: Arriving | undefined;
  #announced: number | undefined;
  /** Bytes of what comes after the file; undefined while the source has not said. */
  #later: number | undefined;

  /** The next of the artifact's blobs arrives in a file, and others come later. */
  begin(file: Arriving, blob: Announced, later: readonly Announced[]): void {
    this.#file = file;
    this.#announced = blob.bytes;
    this.#later = later.reduce<number | undefined>(
      (sum, { bytes }) => (sum === undefined || bytes === undefined ? undefined : sum + bytes),
      0,
    );
  }

  /** The file is whole. */
  end(): void {
    this.#before += this.#file?.bytes ?? 0;
    this.#file = undefined;
    this.#announced = 0;
  }

  /** It can go back, when a source cannot continue where it broke off. */
  get fetchedBytes(): number {
    return this.#before + (this.#file?.bytes ?? 0);
  }

  /** Of the whole artifact; undefined while that is not known. */
  get sizeBytes(): number | undefined {
    const own = this.#file?.expected ?? this.#announced;
    return own === undefined || this.#later === undefined ? undefined : this.#before + own + this.#later;
  }
}
