/** The context of a trace as W3C's headers carry it. Pure. */
import type { IncomingHttpHeaders } from 'node:http';

export interface TraceContext {
  /** 32 and 16 hexadecimal digits. */
  readonly traceId: string;
  readonly spanId: string;
  /** One byte, of which the lowest bit says whether the trace is recorded. */
  readonly flags: number;
  /** Of vendors; passed on as it is. */
  readonly state: string | undefined;
}

const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** The caller's context; undefined when there is none, or when it is not valid, which W3C wants to be passed over. */
export function traceContextOf(headers: IncomingHttpHeaders): TraceContext | undefined {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== 'string') return undefined;
  const [, version, traceId, spanId, flags, more] = form.exec(traceparent) ?? [];
  if (version === undefined || traceId === undefined || spanId === undefined || flags === undefined)
    return undefined;
  // Later versions may say more at the end; this one may not, and `ff` is no version.
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  const state = typeof tracestate === 'string' && tracestate.length <= 512 ? tracestate : undefined;
  return { traceId, spanId, flags: Number.parseInt(flags, 16), state };
}

/** For a line of a log. */
export function traceFields(context: TraceContext | undefined): { trace_id?: string; span_id?: string } {
  return context === undefined ? {} : { trace_id: context.traceId, span_id: context.spanId };
}
