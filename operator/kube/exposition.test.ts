import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseExposition, parseFetching, parseStarted } from './exposition.ts';

describe('what a server counts', () => {
  it('is read of the runtime, without what its clients did wrong', () => {
    const labels = 'model="vad",version="6.0.0"';
    const text = [
      '# HELP nv_inference_request_success Inference requests that were answered',
      '# TYPE nv_inference_request_success counter',
      `nv_inference_request_success{${labels}} 7`,
      '',
      '# TYPE nv_inference_request_failure counter',
      `nv_inference_request_failure{reason="BACKEND",${labels}} 1`,
      `nv_inference_request_failure{reason="REJECTED",${labels}} 1`,
      `nv_inference_request_failure{reason="OTHER",${labels}} 1`,
      `nv_inference_request_failure{reason="CANCELED",${labels}} 1`,
      '# TYPE sluice_requests_total counter',
      `sluice_requests_total{protocol="grpc",outcome="OK",${labels}} 7`,
    ].join('\n');
    assert.deepEqual(parseExposition(text), { requests: 9, failures: 2 });
  });

  it('is summed over models, and counts failures without a reason', () => {
    const text = [
      '# HELP nv_inference_request_success Number of successful inference requests',
      '# TYPE nv_inference_request_success counter',
      'nv_inference_request_success{model="a",version="1"} 1e3',
      'nv_inference_request_success{model="b } \\"q\\" 5",version="1"} 5.000000',
      'nv_inference_request_failure{model="a",version="1"} 3',
      'nv_inference_request_failure{model="a",reason="OTHER",version="1"} 100',
      'nv_inference_request_failure{reason="BACKEND"} 4 1700000000000',
    ].join('\n');
    assert.deepEqual(parseExposition(text), { requests: 1_012, failures: 7 });
  });

  for (const text of [
    '',
    '<html></html>',
    'process_cpu_seconds_total 5',
    'nv_inference_request_success NaN',
    'nv_inference_request_failure 3',
  ])
    it(`is nothing in ${JSON.stringify(text)}`, () => assert.equal(parseExposition(text), undefined));
});

describe('how a pod starts', () => {
  it('is read of fetch', () => {
    const size = '# TYPE sluice_artifact_size_bytes gauge\nsluice_artifact_size_bytes 4294967296\n';
    const fetched = '# TYPE sluice_artifact_fetched_bytes gauge\nsluice_artifact_fetched_bytes 10\n';
    assert.deepEqual(parseFetching(fetched + size), { fetchedBytes: 10, sizeBytes: 2 ** 32 });
    assert.deepEqual(parseFetching(fetched), { fetchedBytes: 10 });
    assert.deepEqual(parseFetching('sluice_artifact_fetched_bytes 10\nsluice_artifact_size_bytes 9\n'), {
      fetchedBytes: 10,
    });
    for (const text of ['', size, 'sluice_artifact_fetched_bytes 1e300', 'sluice_artifact_fetched_bytes 1.5'])
      assert.equal(parseFetching(text), undefined, text);
  });

  it('is read of a server', () => {
    const labels = 'model="vad",version="6.0.0"';
    const text = [
      `sluice_model_load_seconds{${labels}} 2.25`,
      `sluice_model_warm_up_seconds{${labels}} 1e-1`,
      `sluice_execution_provider{provider="cpu",wanted="cuda",${labels}} 1`,
    ];
    assert.deepEqual(parseStarted(text.join('\n')), {
      loadSeconds: 2.35,
      provider: 'cpu',
      wantedProvider: 'cuda',
    });
    assert.deepEqual(parseStarted(text[0]!), { loadSeconds: 2.25 });
    const other = 'sluice_execution_provider{provider="a\\nb",wanted="<script>"} 1';
    assert.equal(parseStarted(other), undefined, 'whatever a server of another make calls itself');
    for (const nothing of ['', 'process_cpu_seconds_total 5', 'sluice_model_load_seconds Nan'])
      assert.equal(parseStarted(nothing), undefined);
  });
});
