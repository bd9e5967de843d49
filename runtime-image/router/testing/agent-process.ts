/** An agent in a process of its own, for tests that kill it: `agent-process.ts <binary> <folder> <address>`. */
import winston from 'winston';
import { Agent } from '../agent.ts';

const [binary, folder, bind] = process.argv.slice(2);
const agent = new Agent({
  binary: binary!,
  folder: folder!,
  limits: { bind: bind!, threads: 2, descriptors: 16_000, hardStopAfter: 20 },
  logger: winston.createLogger({ silent: true }),
});
await agent.start();
process.stdout.write(`${agent.pid}\n`);
