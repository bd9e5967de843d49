/**
 * Scenarios: what users are promised, tried with real processes, the real kubectl and Helm, and real requests. They speak to
 * a cluster only through its API, so they are the same for the local cluster, for one with real control plane binaries
 * (KUBEBUILDER_ASSETS), and for any other (SLUICE_E2E_KUBECONFIG, with SLUICE_OPERATOR_IMAGE and SLUICE_RUNTIME_IMAGE).
 *
 * One cluster and one installation serve all of them; each has a namespace of its own.
 */
import { after, before, suite } from 'node:test';
import { commands } from './commands.ts';
import { failures } from './failures.ts';
import {
  chart,
  chartValues,
  openSession,
  release,
  type Session,
  systemNamespace,
} from './harness/session.ts';
import { installation } from './installation.ts';
import { mainJob } from './main-job.ts';
import { refusals } from './refusals.ts';
import { splits } from './splits.ts';

suite('scenarios', () => {
  let opened: Session | undefined;
  const session = () => {
    if (opened === undefined) throw new Error('the session is not open');
    return opened;
  };

  before(async () => {
    opened = await openSession((line) => process.stderr.write(`# ${line}\n`));
    await opened.shell.helm([
      'install',
      release,
      chart,
      '--namespace',
      systemNamespace,
      '--create-namespace',
      '--wait',
      '--timeout=120s',
      ...chartValues(),
    ]);
  });
  after(async () => {
    await opened?.close();
  });

  refusals(session);
  mainJob(session);
  splits(session);
  failures(session);
  commands(session);
  installation(session);
});
