import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MethodNotAllowed, type Route, route } from './routes.ts';

const model = { model: 'm', version: undefined };
const known: readonly [method: string, path: string, to: Route][] = [
  ['GET', '/v2', { call: 'serverMetadata' }],
  ['GET', '/v2/', { call: 'serverMetadata' }],
  ['GET', '/v2/health/live', { call: 'live' }],
  ['HEAD', '/v2/health/ready', { call: 'ready' }],
  ['GET', '/v2/models/m', { call: 'modelMetadata', ...model }],
  ['GET', '/v2/models/m/versions/1.0-a', { call: 'modelMetadata', model: 'm', version: '1.0-a' }],
  ['GET', '/v2/models/m/ready?x=1', { call: 'modelReady', ...model }],
  ['POST', '/v2/models/a%2Fb/infer', { call: 'infer', model: 'a/b', version: undefined }],
  ['POST', '/v2/models/m/versions/1/infer', { call: 'infer', model: 'm', version: '1' }],
  ['GET', '/v2/models/m/stats', { call: 'statistics', ...model }],
  ['GET', '/v2/models/stats', { call: 'allStatistics' }],
  ['POST', '/v2/repository/index', { call: 'repositoryIndex' }],
  ['POST', '/v2/repository/models/m/load', { call: 'repositoryChange' }],
];

describe('route', () => {
  for (const [method, path, to] of known)
    it(`knows ${method} ${path}`, () => assert.deepEqual(route(method, path), to));

  for (const path of [
    '/',
    '/v1/models/m',
    '/v2/models',
    '/v2/models/m/nope',
    '/v2/models//infer',
    '/v2/__proto__',
    '/v2/constructor',
  ]) {
    it(`does not know ${path}`, () => assert.throws(() => route('GET', path), { fault: 'NotFound' }));
  }

  it('says which method a path takes', () => {
    assert.throws(
      () => route('GET', '/v2/models/m/infer'),
      (thrown) => thrown instanceof MethodNotAllowed && thrown.allow === 'POST',
    );
    assert.throws(
      () => route('POST', '/v2'),
      (thrown) => thrown instanceof MethodNotAllowed && thrown.allow === 'GET',
    );
  });

  it('refuses a segment that is not encoded as it should be', () => {
    assert.throws(() => route('GET', '/v2/models/%ff'), { fault: 'InvalidArgument' });
  });
});
