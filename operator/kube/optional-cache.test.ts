import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { KubeClient } from '../../kube-client/client.ts';
import { type Connection, connect } from '../../kube-client/connection.ts';
import { type Recorded, ScriptedApi } from '../../kube-client/testing/scripted-api.ts';
import { until } from '../../kube-client/testing/until.ts';
import { type Route, routeResources } from '../api/gateway.ts';
import { Discovery, OptionalCache } from './optional-cache.ts';

let api: ScriptedApi;
let connection: Connection;
let cache: OptionalCache<Route>;
let discovery: Discovery;
let served: boolean;
/** Answers every request for discovery with this, while it is set. */
let discoveryFails: number | undefined;
/** Whether routes may be listed. */
let forbidden: boolean;
let warnings: string[];

const refuse = (response: ServerResponse, code: number): true => {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ kind: 'Status', code, message: `refused with ${code}` }));
  return true;
};

function answer({ path }: Recorded, response: ServerResponse): boolean {
  if (path === '/apis/gateway.networking.k8s.io/v1') {
    if (discoveryFails !== undefined) return refuse(response, discoveryFails);
    if (!served) return refuse(response, 404);
    response.end(JSON.stringify({ resources: [{ name: 'httproutes', kind: 'HTTPRoute' }] }));
    return true;
  }
  if (!served) return refuse(response, 404);
  return forbidden ? refuse(response, 403) : false;
}

beforeEach(async () => {
  served = false;
  forbidden = false;
  discoveryFails = undefined;
  warnings = [];
  api = new ScriptedApi();
  api.standing.push(answer);
  await api.start();
  connection = connect({ server: `http://127.0.0.1:${api.port}` });
  const note = (message: string): void => void warnings.push(message);
  const logger = { debug: () => {}, info: () => {}, warn: note, error: note };
  const client = new KubeClient(connection);
  cache = new OptionalCache<Route>(client, routeResources.HTTPRoute, { logger });
  discovery = new Discovery({
    client,
    logger,
    group: 'gateway.networking.k8s.io',
    version: 'v1',
    caches: [cache],
    everyMs: 20,
  });
});

afterEach(async () => {
  await discovery.stop();
  await connection.close?.();
  await api.stop();
});

const questions = (): number =>
  api.requests.filter(({ path }) => path === '/apis/gateway.networking.k8s.io/v1').length;

describe('a cache of a kind that the cluster need not have', () => {
  it('is missing where it is missing, without a word of warning, and is read once the kind appears', async () => {
    await discovery.start();
    assert.equal(cache.state, 'missing');
    let states = 0;
    cache.onState(() => {
      states += 1;
    });
    const seen: string[] = [];
    cache.subscribe(({ key }) => seen.push(key));
    await until('some more questions', () => questions() > 3);
    assert.deepEqual([states, warnings], [0, []]);
    api.put('vad');
    served = true;
    await until('the route', () => cache.get('ns/vad') !== undefined);
    assert.equal(cache.state, 'read');
    assert.deepEqual(seen, ['ns/vad']);
    assert.ok(states > 0);
  });

  it('is full when the start is over, where the kind is there', async () => {
    served = true;
    api.put('vad');
    await discovery.start();
    assert.deepEqual([cache.state, cache.list().length], ['read', 1]);
  });

  it('is empty again when the kind is gone', async () => {
    served = true;
    api.put('vad');
    await discovery.start();
    served = false;
    api.dropConnections();
    await until('the kind to be gone', () => cache.state === 'missing');
    assert.deepEqual(cache.list(), []);
  });

  it('does not take silence for absence', async () => {
    discoveryFails = 503;
    await discovery.start();
    assert.equal(cache.state, 'unread');
    served = true;
    discoveryFails = undefined;
    await until('the kind', () => cache.state === 'read');
    discoveryFails = 503;
    const before = questions();
    await until('some more questions', () => questions() > before + 2);
    assert.equal(cache.state, 'read');
  });

  it('does not hold up the start where reading it is forbidden', async () => {
    served = true;
    forbidden = true;
    await discovery.start();
    assert.equal(cache.state, 'unread');
    assert.match(warnings[0] ?? '', /403/);
    forbidden = false;
    await until('the permission to take effect', () => cache.state === 'read');
  });
});
