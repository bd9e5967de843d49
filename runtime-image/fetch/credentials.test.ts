import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { temporaryFolder } from '../testing/process.ts';
import { readCredentials } from './credentials.ts';

describe('readCredentials', () => {
  const folder = temporaryFolder();
  after(() => rmSync(folder, { recursive: true, force: true }));
  beforeEach(() => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
  });

  const secret = (values: Readonly<Record<string, string>>) => {
    for (const [key, value] of Object.entries(values)) writeFileSync(join(folder, key), value);
    return readCredentials(folder);
  };

  it('is nothing without a Secret', () => {
    assert.deepEqual(readCredentials(undefined), {});
  });

  it('waits for a Secret that is to be there and is not, or has nothing yet', () => {
    const missing = {
      reason: 'ArtifactUnauthorized',
      message: 'the Secret of artifact.credentials does not exist, or is empty',
    };
    assert.throws(() => readCredentials(join(folder, 'absent')), missing);
    // What the kubelet mounts for an optional Secret that is missing.
    mkdirSync(join(folder, '..2026_01_01'));
    symlinkSync('..2026_01_01', join(folder, '..data'));
    assert.throws(() => readCredentials(folder), missing);
  });

  it('reads a user with a password', () => {
    assert.deepEqual(secret({ username: 'u\n', password: 'p' }), {
      authorization: 'Basic dTpw',
      basic: { username: 'u', password: 'p' },
    });
  });

  it('reads a token, which says more than a user', () => {
    assert.equal(secret({ token: 't', username: 'u' }).authorization, 'Bearer t');
  });

  it('reads keys of S3 in both spellings', () => {
    const keys = { accessKeyId: 'a', secretAccessKey: 's', sessionToken: 't' };
    const ours = { ...keys, region: 'eu-west-1', endpoint: 'https://store.example.com' };
    const expected = { keys, region: 'eu-west-1', endpoint: 'https://store.example.com' };
    assert.deepEqual(secret(ours), expected);
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    const customary = {
      AWS_ACCESS_KEY_ID: 'a',
      AWS_SECRET_ACCESS_KEY: 's',
      AWS_SESSION_TOKEN: 't',
      AWS_REGION: 'eu-west-1',
      AWS_ENDPOINT_URL: 'https://store.example.com',
    };
    assert.deepEqual(secret(customary), expected);
  });

  it('refuses half a pair, an injected header and a Secret of something else', () => {
    assert.throws(() => secret({ accessKeyId: 'a' }), /only one of accessKeyId and secretAccessKey/);
    rmSync(join(folder, 'accessKeyId'));
    assert.throws(() => secret({ token: 'a\r\nHost: b' }), /more than one line in token/);
    rmSync(join(folder, 'token'));
    assert.throws(() => secret({ colour: 'red' }), /has colour; understood are token, username/);
  });
});
