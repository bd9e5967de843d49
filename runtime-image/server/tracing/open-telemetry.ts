/** Spans by OpenTelemetry's SDK, sent in batches over OTLP/HTTP; where to, and with which headers, its own variables say. */
import { createTraceState, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { env } from '#contract';
import { type Environment, optional } from '../../environment.ts';
import { Failure } from '../../termination.ts';
import { serverVersion } from '../describe.ts';
import type { TraceContext } from './trace-context.ts';
import type { Tracer } from './tracer.ts';

export function openTelemetry(
  source: Environment,
  about: { readonly model: string; readonly version: string },
): Tracer {
  const pod = optional(source, env.podName);
  const namespace = optional(source, env.podNamespace);
  const resource = resourceFromAttributes({
    'service.name': optional(source, 'OTEL_SERVICE_NAME') ?? about.model,
    'service.version': about.version,
    ...(pod === undefined ? {} : { 'k8s.pod.name': pod }),
    ...(namespace === undefined ? {} : { 'k8s.namespace.name': namespace }),
  });
  const provider = new TracerProvider({
    resource: defaultResource().merge(resource),
    // Whoever began a trace has decided whether it is recorded.
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratioOf(source)) }),
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
  });
  const tracer = provider.getTracer('sluice', serverVersion);
  const attributes = { 'sluice.model': about.model, 'sluice.version': about.version };
  return {
    start: (protocol, caller) => {
      const parent = contextOf(caller);
      const options = { kind: SpanKind.SERVER, attributes: { ...attributes, 'sluice.protocol': protocol } };
      const span = tracer.startSpan('infer', options, parent);
      return {
        answered: ({ queueMs, computeMs }) => {
          const within = trace.setSpan(parent, span);
          const end = performance.timeOrigin + performance.now();
          const ran = end - computeMs;
          tracer.startSpan('queue', { startTime: new Date(ran - queueMs) }, within).end(new Date(ran));
          tracer.startSpan('compute', { startTime: new Date(ran) }, within).end(new Date(end));
          span.end();
        },
        failed: ({ fault, message }) => {
          span.setAttribute('error.type', fault);
          span.setStatus({ code: SpanStatusCode.ERROR, message });
          span.end();
        },
      };
    },
    close: () => provider.shutdown(),
  };
}

/** Share of the traces that begin here and are recorded. */
function ratioOf(source: Environment): number {
  const text = optional(source, 'OTEL_TRACES_SAMPLER_ARG') ?? '1';
  const ratio = Number(text);
  if (ratio >= 0 && ratio <= 1) return ratio;
  throw new Failure(
    'ConfigurationInvalid',
    `OTEL_TRACES_SAMPLER_ARG=${JSON.stringify(text)} is no number from 0 to 1`,
  );
}

function contextOf(caller: TraceContext | undefined) {
  if (caller === undefined) return ROOT_CONTEXT;
  const { traceId, spanId, flags, state } = caller;
  return trace.setSpanContext(ROOT_CONTEXT, {
    ...{ traceId, spanId, traceFlags: flags, isRemote: true },
    ...(state === undefined ? {} : { traceState: createTraceState(state) }),
  });
}
