/** The protocol over gRPC: GRPCInferenceService, the standard health service and reflection. */
import { fileURLToPath } from 'node:url';
import type { Server } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation, protoPath as healthProto } from 'grpc-health-check';
import { versionHeader } from '#contract';
import type { Logger } from '../../logger.ts';
import type { ByteBudget } from '../byte-budget.ts';
import {
  fixedRepository,
  modelMetadata,
  modelStatistics,
  repositoryIndex,
  serverMetadata,
} from '../describe.ts';
import { Cancellation } from '../execution/cancellation.ts';
import type { ServedModel } from '../model.ts';
import { InferenceError } from '../protocol/errors.ts';
import { decodeInferRequest, encodeInferAnswer } from '../protocol/grpc-codec.ts';
import { readInferRequest, writeInferAnswer } from '../protocol/grpc-wire.ts';
import type { InferAnswerMessage, InferRequestMessage } from '../protocol/messages.ts';
import { traceContextOf, traceFields } from '../tracing/trace-context.ts';
import type { MethodDescription, Service, UnaryHandler, UnaryRequest } from './method.ts';
import { GrpcTransport } from './transport.ts';

export const serviceName = 'inference.GRPCInferenceService';
const inferPath = `/${serviceName}/ModelInfer`;
const protoPath = fileURLToPath(new URL('../../inference.proto', import.meta.url));
const loaderOptions = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true } as const;

/** The protocol's description; also what a client written in JavaScript needs. */
export function loadProtocol(): PackageDefinition {
  return loadSync(protoPath, loaderOptions);
}

export interface GrpcOptions {
  readonly model: ServedModel;
  readonly maxRequestBytes: number;
  readonly budget: ByteBudget;
  readonly logger: Logger;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
}

/** A gRPC server that does not listen yet. */
export function createGrpcServer(options: GrpcOptions): GrpcTransport {
  const { model, maxRequestBytes, budget, now } = options;
  const protocol = loadProtocol();
  const headers = { [versionHeader]: model.version };
  const onRefused = (path: string, error: InferenceError) => {
    if (path === inferPath) model.refused('grpc', error);
  };
  const failsLate = () => model.failsLate;
  const server = new GrpcTransport({ maxRequestBytes, budget, headers, now, onRefused, failsLate });
  server.addService(ownInfer(protocol[serviceName] as ServiceDefinition), handlers(options));
  const health = new HealthImplementation();
  // The two libraries ask nothing of a server but this one method.
  const host = server as unknown as Server;
  health.addToServer(host);
  model.onChange(() => {
    const status = model.ready ? 'SERVING' : 'NOT_SERVING';
    for (const name of ['', serviceName]) health.setStatus(name, status);
  });
  new ReflectionService({ ...protocol, ...loadSync(healthProto, loaderOptions) }).addToServer(host);
  return server;
}

/** The library's description of the service, with our own reading and writing of the messages that carry tensors. */
function ownInfer(service: ServiceDefinition): Service {
  const described = service as unknown as Service;
  return {
    ...described,
    ModelInfer: {
      ...(described['ModelInfer'] as MethodDescription),
      requestDeserialize: (bytes) => readInferRequest(bytes),
      responseSerialize: (message) => writeInferAnswer(message as InferAnswerMessage),
    },
  };
}

interface Named {
  readonly name: string;
  readonly version: string;
}

/** Ends a call with a message; throws, and has sent nothing, when that cannot be. */
type Answer = (message: unknown) => void;

function handlers(options: GrpcOptions): Readonly<Record<string, UnaryHandler>> {
  const { model, logger } = options;

  /** One place that turns a function into a handler, and what it throws into a status. */
  const answering =
    <Q>(handle: (request: Q, call: UnaryRequest, answer: Answer) => Promise<void> | void): UnaryHandler =>
    async (call, done) => {
      try {
        await handle(call.request as Q, call, (message) => done(null, message));
      } catch (thrown) {
        const error = InferenceError.from(thrown);
        if (error.fault === 'Internal') {
          logger.error('a request failed', {
            path: call.path,
            error: error.message,
            stack: error.stack,
            ...traceFields(traceContextOf(call.headers)),
          });
        }
        done(error);
      }
    };
  const unary = <Q>(handle: (request: Q) => unknown): UnaryHandler =>
    answering<Q>((request, _, answer) => answer(handle(request)));

  return {
    ServerLive: unary(() => ({ live: true })),
    ServerReady: unary(() => ({ ready: model.ready })),
    ServerMetadata: unary(() => serverMetadata()),
    ModelReady: unary(({ name, version }: Named) => {
      model.check(name, version);
      return { ready: model.ready };
    }),
    ModelMetadata: unary(({ name, version }: Named) => {
      model.check(name, version);
      return modelMetadata(model);
    }),
    ModelStatistics: unary(({ name, version }: Named) => {
      if (name !== '') model.check(name, version);
      return { model_stats: [modelStatistics(model)] };
    }),
    RepositoryIndex: unary(({ ready }: { ready: boolean }) => ({ models: repositoryIndex(model, ready) })),
    RepositoryModelLoad: unary(() => {
      throw new InferenceError('Unimplemented', fixedRepository);
    }),
    RepositoryModelUnload: unary(() => {
      throw new InferenceError('Unimplemented', fixedRepository);
    }),
    ModelInfer: answering((message: InferRequestMessage, call, answer) =>
      infer(model, message, call, answer),
    ),
  };
}

async function infer(
  model: ServedModel,
  message: InferRequestMessage,
  call: UnaryRequest,
  answer: Answer,
): Promise<void> {
  model.check(message.model_name, message.model_version);
  const cancellation = new Cancellation();
  call.onCancel(() => cancellation.cancel());
  const { timeoutMs = 0 } = call;
  const limits = { cancellation, timeoutMs, trace: traceContextOf(call.headers) };
  const about = { model: model.name, version: model.version };
  await model.infer(
    'grpc',
    {
      decode: () => decodeInferRequest(message),
      answer: (result) => answer(encodeInferAnswer(result, about)),
    },
    limits,
  );
}
