/** A node under a fake API, with images that are small scripts. For tests of this room. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resources } from '../../../kube-client/resources.ts';
import { type Authority, createAuthority } from '../assets/certificates.ts';
import { addressesOf } from './addresses.ts';
import { type FakeApi, fakeApi, podObject } from './fake-api.ts';
import type { Image, Images } from './images.ts';
import { type RunningNode, startNode } from './node.ts';
import type { Container, ContainerStatus, Pod, PodSpec } from './pod.ts';
import { podKubeconfigOf } from './pod-kubeconfig.ts';
import type { PodPolicy } from './policy.ts';

export const silent = { debug() {}, info() {}, warn() {}, error() {} };

const script = (code: string): Image => ({ entrypoint: [process.execPath, '-e', code] });

/** Answers on port 8080: `/unready` makes `/ready` fail, `/sick` makes `/live` fail; anything else shows the environment. */
const server = `
const http = require('node:http');
let ready = true;
let live = true;
http.createServer((request, response) => {
  if (request.url === '/unready') ready = false;
  if (request.url === '/sick') live = false;
  if (request.url === '/ready') response.statusCode = ready ? 200 : 503;
  if (request.url === '/live') response.statusCode = live ? 200 : 500;
  response.end(JSON.stringify(process.env));
}).listen(8080, process.env.SLUICE_BIND_ADDRESS);
process.on('SIGTERM', () => { console.log('got SIGTERM'); process.exit(0); });
`;

export const testImages: Images = {
  'test/server': script(server),
  'test/env': script(
    'console.log(JSON.stringify(process.env)); console.log(JSON.stringify(process.argv.slice(1)))',
  ),
  'test/sh': { entrypoint: ['/bin/sh', '-c'] },
  'test/hog': script('const held = []; setInterval(() => held.push(Buffer.alloc(20e6, 1)), 20)'),
};

interface EventObject {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  readonly involvedObject: { readonly name: string };
}

/** Test addresses: 127.77.x.y; every world takes a block of its own. */
let worlds = 0;

export class World {
  readonly api: FakeApi = fakeApi();
  readonly authority: Authority = createAuthority('test');
  readonly folder = mkdtempSync(join(tmpdir(), 'sn-'));
  readonly #block = `127.77.${16 * (((worlds++ * 7 + process.pid) % 15) + 1)}.0/20`;
  #node: RunningNode | undefined;
  #counter = 0;

  async start(policy: Partial<PodPolicy> = {}): Promise<void> {
    const address = '127.77.255.254';
    this.#node = await startNode({
      client: { api: this.api },
      name: 'n1',
      capacity: { cpu: '4', memory: '4Gi', pods: '50', 'nvidia.com/gpu': '2' },
      podAddresses: addressesOf(this.#block),
      rootDir: this.folder,
      address,
      kubeconfig: podKubeconfigOf('https://127.0.0.1:6443', 'CA'),
      images: testImages,
      serving: {
        ...this.authority.issue({ commonName: 'n1', addresses: [address] }),
        clientCa: this.authority.cert,
      },
      logger: silent,
      policy: {
        restartBackOff: { initial: 200, max: 2_000 },
        imageBackOff: { initial: 2_000, max: 4_000 },
        retry: 100,
        volumeRefresh: 100,
        memoryPeriod: 50,
        ...policy,
      },
    });
  }

  async stop(): Promise<void> {
    await this.#node?.stop();
    this.#node = undefined;
  }

  async end(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Creates a pod bound to the node and returns its name. */
  run(
    spec: Partial<PodSpec> & { containers: readonly Container[] },
    metadata: Partial<Pod['metadata']> = {},
  ): string {
    const name = `p${++this.#counter}`;
    const whole = { nodeName: 'n1', terminationGracePeriodSeconds: 5, ...spec };
    this.api.put(resources.pods, podObject(name, whole, metadata));
    return name;
  }

  pod(name: string): Pod | undefined {
    return this.api.all<Pod>(resources.pods).find(({ metadata }) => metadata.name === name);
  }

  /** The pod as it was when it was removed. */
  last(name: string): Pod | undefined {
    return this.api.graveyard.findLast((object) => object.metadata.name === name) as Pod | undefined;
  }

  container(name: string, index = 0): ContainerStatus | undefined {
    return this.pod(name)?.status?.containerStatuses?.[index];
  }

  condition(name: string, type: string): string | undefined {
    return this.pod(name)?.status?.conditions?.find((item) => item.type === type)?.status;
  }

  /** Events as `reason: message`. */
  events(name: string): string[] {
    return this.api
      .all<EventObject>(resources.coreEvents)
      .filter(({ involvedObject }) => involvedObject.name === name)
      .map(({ reason, message }) => `${reason}: ${message}`);
  }

  async until(what: string, holds: () => unknown): Promise<void> {
    const deadline = Date.now() + 15_000;
    while (!holds()) {
      const seen = () =>
        JSON.stringify(
          this.api.all<Pod>(resources.pods).map(({ status }) => status),
          undefined,
          1,
        );
      assert.ok(Date.now() < deadline, `never came: ${what}\n${Date.now() < deadline ? '' : seen()}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async remove(name: string): Promise<void> {
    this.api.deletePod(`default/${name}`);
    await this.until('pod gone', () => !this.pod(name));
  }

  podFolder(name: string): string {
    return join(this.folder, 'pods', this.pod(name)?.metadata.uid.slice(0, 13) ?? '');
  }

  /** Output of a run, line by line. */
  log(name: string, container = 'c', run = 0): string[] {
    const text = readFileSync(join(this.podFolder(name), 'c', container, `${run}.log`), 'utf8');
    return text
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ').slice(3).join(' '));
  }
}
