/** The protocol over gRPC: GRPCInferenceService, the standard health service and reflection. */
import { fileURLToPath } from 'node:url';
import {
  Metadata,
  type MethodDefinition,
  Server,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
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
import { InferenceError, invalid } from '../protocol/errors.ts';
import { decodeInferRequest, encodeInferAnswer } from '../protocol/grpc-codec.ts';
import { readInferRequest, writeInferAnswer } from '../protocol/grpc-wire.ts';
import type { InferAnswerMessage, InferRequestMessage } from '../protocol/messages.ts';

export const serviceName = 'inference.GRPCInferenceService';
const protoPath = fileURLToPath(new URL('../../inference.proto', import.meta.url));
const loaderOptions = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true } as const;

/** The protocol's description; also what a client written in JavaScript needs. */
export function loadProtocol(): PackageDefinition {
  return loadSync(protoPath, loaderOptions);
}

/** Of one connection. Each may hold a whole request in memory. */
const maxStreams = 1000;

export interface GrpcOptions {
  readonly model: ServedModel;
  readonly maxRequestBytes: number;
  readonly budget: ByteBudget;
  readonly logger: Logger;
}

/** A gRPC server that is not bound yet. */
export function createGrpcServer(options: GrpcOptions): Server {
  const protocol = loadProtocol();
  const server = new Server({
    'grpc.max_receive_message_length': options.maxRequestBytes,
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': maxStreams,
  });
  server.addService(tolerant(ownInfer(protocol[serviceName] as ServiceDefinition)), handlers(options));
  const health = new HealthImplementation();
  health.addToServer(server);
  options.model.onChange(() => {
    const status = options.model.ready ? 'SERVING' : 'NOT_SERVING';
    for (const name of ['', serviceName]) health.setStatus(name, status);
  });
  new ReflectionService({ ...protocol, ...loadSync(healthProto, loaderOptions) }).addToServer(server);
  return server;
}

/** The library's description of the service, with our own reading and writing of the messages that carry tensors. */
function ownInfer(service: ServiceDefinition): ServiceDefinition {
  const { ModelInfer } = service as { ModelInfer: MethodDefinition<object, object> };
  const own: MethodDefinition<object, object> = {
    ...ModelInfer,
    requestDeserialize: (bytes): Received => ({ message: readInferRequest(bytes), bytes: bytes.byteLength }),
    responseSerialize: (message) => writeInferAnswer(message as InferAnswerMessage),
  };
  return { ...service, ModelInfer: own };
}

interface Received {
  readonly message: InferRequestMessage;
  /** Of the message on the wire. */
  readonly bytes: number;
}

/** What a message that is no protobuf decodes to. */
class Malformed {
  readonly error: InferenceError;

  constructor(thrown: unknown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    this.error =
      thrown instanceof InferenceError ? thrown : invalid(`the message is not valid protobuf: ${why}`);
  }
}

/** grpc-js answers INTERNAL to a message that it cannot decode; but the mistake is the client's, so let handlers see it. */
function tolerant(service: ServiceDefinition): ServiceDefinition {
  const wrap = (method: MethodDefinition<object, object>) => ({
    ...method,
    requestDeserialize: (bytes: Buffer): object => {
      try {
        return method.requestDeserialize(bytes);
      } catch (thrown) {
        return new Malformed(thrown);
      }
    },
  });
  return Object.fromEntries(
    Object.entries(service).map(([name, method]) => [name, wrap(method as MethodDefinition<object, object>)]),
  );
}

interface Named {
  readonly name: string;
  readonly version: string;
}

type Call = ServerUnaryCall<unknown, unknown>;

function handlers(options: GrpcOptions): UntypedServiceImplementation {
  const { model } = options;
  const versioned = new Metadata();
  versioned.set(versionHeader, model.version);

  /** One place that turns a function into a handler: metadata out, errors into statuses. */
  const unary =
    <Q>(handle: (request: Q, call: Call) => unknown) =>
    async (call: Call, done: sendUnaryData<unknown>): Promise<void> => {
      try {
        if (call.request instanceof Malformed) throw call.request.error;
        const answer = await handle(call.request as Q, call);
        call.sendMetadata(versioned.clone());
        done(null, answer);
      } catch (thrown) {
        const error = InferenceError.from(thrown);
        if (error.fault === 'Internal') {
          options.logger.error('a request failed', {
            path: call.getPath(),
            error: error.message,
            stack: error.stack,
          });
        }
        done({ code: error.code, details: error.message, metadata: versioned.clone() });
      }
    };

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
    ModelInfer: unary((received: Received, call) => infer(options, received, call)),
  };
}

async function infer({ model, budget }: GrpcOptions, { message, bytes }: Received, call: Call) {
  model.check(message.model_name, message.model_version);
  const gone = new Cancellation();
  // Also how the library tells that the client's deadline has passed.
  call.once('cancelled', () => gone.cancel());
  const share = budget.share();
  try {
    share.add(bytes);
    const answer = await model.infer('grpc', () => decodeInferRequest(message), { cancellation: gone });
    return encodeInferAnswer(answer, { model: model.name, version: model.version });
  } finally {
    share.release();
  }
}
