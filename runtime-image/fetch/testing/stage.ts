/** What tests of `fetch` share: a model folder of their own, a configuration, and what came of it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import winston from 'winston';
import { type ArtifactRecord, artifactRecordFile, type FailureReason } from '#contract';
import { Failure } from '../../termination.ts';
import { temporaryFolder } from '../../testing/process.ts';
import type { FetchConfig } from '../config.ts';
import { fetchArtifact } from '../fetch-artifact.ts';

export const sha256 = (content: string | Uint8Array): string =>
  createHash('sha256').update(content).digest('hex');

const logger = winston.createLogger({ silent: true });

export class Stage implements Disposable {
  /** The model folder. */
  readonly folder = temporaryFolder();
  readonly #base: Partial<FetchConfig>;

  constructor(base: Partial<FetchConfig> = {}) {
    this.#base = base;
  }

  config(overrides: Partial<FetchConfig>): FetchConfig {
    return {
      uri: '',
      sha256: undefined,
      files: [],
      modelDir: this.folder,
      schemes: ['s3', 'gs', 'oci', 'hf', 'pvc'],
      privateHosts: [],
      endpoints: {},
      fileRoot: undefined,
      claimRoot: undefined,
      cacheDir: undefined,
      owner: undefined,
      maxBytes: 2 ** 30,
      credentials: {},
      ...this.#base,
      ...overrides,
    };
  }

  fetch(overrides: Partial<FetchConfig>): Promise<ArtifactRecord> {
    return fetchArtifact(this.config(overrides), logger);
  }

  async refuses(overrides: Partial<FetchConfig>, reason: FailureReason, message: RegExp): Promise<void> {
    await assert.rejects(this.fetch(overrides), (thrown) => {
      assert.ok(thrown instanceof Failure, String(thrown));
      assert.match(thrown.message, message);
      assert.equal(thrown.reason, reason);
      return true;
    });
    assert.deepEqual(this.files(), {}, 'nothing is left behind');
  }

  /** What lies in the model folder, text by path. */
  files(): Readonly<Record<string, string>> {
    const entries = readdirSync(this.folder, { recursive: true, withFileTypes: true });
    return Object.fromEntries(
      entries
        .filter((entry) => !entry.isDirectory() && entry.name !== artifactRecordFile)
        .map((entry) => {
          const path = join(entry.parentPath, entry.name);
          return [path.slice(this.folder.length + 1), readFileSync(path, 'utf8')];
        }),
    );
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A server of the test's own. */
export class TestServer implements AsyncDisposable {
  readonly host: string;
  readonly requests: {
    readonly method: string;
    readonly url: string;
    readonly headers: NodeJS.Dict<string | string[]>;
  }[] = [];
  readonly #server: Server;

  static async start(listener: RequestListener): Promise<TestServer> {
    let started: TestServer | undefined;
    const server = createServer((request, response) => {
      started?.requests.push({
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
      });
      listener(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    started = new TestServer(server);
    return started;
  }

  private constructor(server: Server) {
    this.#server = server;
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
