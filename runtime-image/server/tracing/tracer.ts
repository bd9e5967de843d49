/** Spans of requests, where somebody collects them. The packages that send them are loaded only then. */
import { type Environment, optional } from '../../environment.ts';
import type { InferenceError } from '../protocol/errors.ts';
import type { TraceContext } from './trace-context.ts';

export interface RequestSpan {
  /** Answered, after so many milliseconds in the queue and in the model. */
  answered(times: { readonly queueMs: number; readonly computeMs: number }): void;
  failed(error: InferenceError): void;
}

export interface Tracer {
  /** @param caller absent: a trace of its own begins */
  start(protocol: 'rest' | 'grpc', caller: TraceContext | undefined): RequestSpan;
  /** Sends what is left. */
  close(): Promise<void>;
}

/** A tracer when OpenTelemetry's own variables say where spans go; else undefined, and nothing is loaded. */
export async function openTracer(
  source: Environment,
  about: { readonly model: string; readonly version: string },
): Promise<Tracer | undefined> {
  const endpoint =
    optional(source, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') ?? optional(source, 'OTEL_EXPORTER_OTLP_ENDPOINT');
  if (endpoint === undefined || source['OTEL_SDK_DISABLED'] === 'true') return undefined;
  const { openTelemetry } = await import('./open-telemetry.ts');
  return openTelemetry(source, about);
}
