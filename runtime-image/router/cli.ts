/** HAProxy's command socket. A command that fails says so only in its text, so each has the answer that means success. */
import { open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';

/** A command was refused, or the socket is gone. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

const prompt = '> ';
const longest = 8 * 1024 * 1024;

/** One connection in interactive mode: commands run one after the other, each answered before the next is sent. */
export class Session {
  readonly #socket: Socket;
  #received = '';
  #waiting: { resolve: (text: string) => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#onText(text));
    socket.on('error', (error) =>
      this.#fail(new CommandError(`command socket: ${error.message}`, { cause: error })),
    );
    socket.on('close', () => this.#fail(new CommandError('HAProxy closed the command socket')));
  }

  /**
   * @param folder of the socket. It is opened first, because a socket's path may have 107 bytes only.
   * @throws CommandError when nobody listens there
   */
  static async open(folder: string, file: string, timeoutMs = 5000): Promise<Session> {
    const handle = await open(folder, 'r');
    try {
      const socket = connect(`/proc/self/fd/${handle.fd}/${file}`);
      const session = new Session(socket);
      socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)));
      await session.#exchange('prompt\n');
      return session;
    } finally {
      await handle.close();
    }
  }

  /**
   * @param command one line, without payload
   * @param expected what the whole answer has to match; by default there must be none
   * @returns the answer, trimmed
   * @throws CommandError with the answer when it is not the expected one
   */
  async run(command: string, expected: RegExp = /^$/): Promise<string> {
    if (/[\n\r;\\]|<</.test(command))
      throw new CommandError(`not one plain command: ${JSON.stringify(command)}`);
    const answer = (await this.#exchange(`${command}\n`)).trim();
    if (!expected.test(answer)) throw new CommandError(`${command}: ${answer}`);
    return answer;
  }

  /** Like `run`, with lines as the payload. Lines that would not fit HAProxy's buffer go in several commands. */
  async runWith(command: string, lines: readonly string[]): Promise<void> {
    for (let at = 0; at < lines.length; ) {
      let payload = '';
      while (at < lines.length && (payload === '' || payload.length + lines[at]!.length < 12_000)) {
        const line = lines[at++]!;
        if (line === '' || /[\n\r]/.test(line)) throw new CommandError(`not a line: ${JSON.stringify(line)}`);
        payload += `${line}\n`;
      }
      const answer = (await this.#exchange(`${command} <<\n${payload}\n`)).replace(/^(\+ )+/, '').trim();
      if (answer !== '') throw new CommandError(`${command}: ${answer}`);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #exchange(text: string): Promise<string> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#waiting) return Promise.reject(new CommandError('a command is under way'));
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#waiting = { resolve, reject };
    this.#socket.write(text);
    return promise;
  }

  #onText(text: string): void {
    this.#received += text;
    if (this.#received.length > longest) this.#socket.destroy(new Error('endless answer'));
    // Answers end with an empty line and the prompt; no line of an answer is the bare prompt.
    if (this.#received !== prompt && !this.#received.endsWith(`\n${prompt}`)) return;
    const answer = this.#received.slice(0, -prompt.length);
    this.#received = '';
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(answer);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
  }
}
