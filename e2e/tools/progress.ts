/** Where the tools report what takes long. One line per call; the caller decides how it looks. */
export type Progress = (line: string) => void;

/** Plain lines on stderr, so that stdout stays for results. */
export const progressOnStderr: Progress = (line) => {
  process.stderr.write(`${line}\n`);
};
