/**
 * Scenarios: what users are promised, tried with real processes, the real kubectl and Helm, and real requests. They speak to
 * a cluster only through its API, so they are the same for the local cluster, for one with real control plane binaries
 * (KUBEBUILDER_ASSETS), and for any other (SLUICE_CLUSTER=external and KUBECONFIG, with SLUICE_OPERATOR_IMAGE and SLUICE_RUNTIME_IMAGE).
 *
 * One cluster and one installation serve all of them; each has a namespace of its own.
 */
import { after, before, suite } from 'node:test';
import { artifacts } from './artifacts.ts';
import { commands } from './commands.ts';
import { failures } from './failures.ts';
import { gateways } from './gateways.ts';
import { Installation } from './harness/installation.ts';
import { openSession, type Session } from './harness/session.ts';
import { installation } from './installation.ts';
import { liveTraffic } from './live-traffic.ts';
import { mainJob } from './main-job.ts';
import { pains } from './pains/pains.ts';
import { refusals } from './refusals.ts';
import { routers } from './routers.ts';
import { routes } from './routes.ts';
import { splits } from './splits.ts';

suite('scenarios', () => {
  let opened: Session | undefined;
  let present: Installation | undefined;
  const session = () => opened ?? fail('the session is not open');
  const installed = () => present ?? fail('Sluice is not installed');

  before(async () => {
    opened = await openSession((line) => process.stderr.write(`# ${line}\n`));
    present = await Installation.prepare(opened);
    await present.helm('install');
  });
  after(async () => {
    await opened?.close();
  });

  refusals(session);
  mainJob(session);
  splits(session);
  routes(session);
  gateways(session);
  artifacts(session, installed);
  failures(session, installed);
  liveTraffic(session);
  routers(session);
  commands(session);
  pains(session);
  installation(session, installed);
});

function fail(message: string): never {
  throw new Error(message);
}
