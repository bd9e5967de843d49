/**
 * `npm run demo`: the main job from nothing, on real input, in a cluster of its own that is gone afterwards. It exits 0 only
 * if everything that had to be so was so.
 *
 * This file starts and ends things; the story is in `story.ts`. It must not know how a cluster is made.
 */
import { performance } from 'node:perf_hooks';
import { enterNamespace } from '../cluster/assets/network.ts';
import { openSession, type Session } from '../scenarios/harness/session.ts';
import { tools } from '../tools/tools.ts';
import { Screen } from './screen.ts';
import { Steps } from './steps.ts';
import { tell } from './story.ts';
import { Timeline } from './timeline.ts';

await enterNamespace();

const now = () => performance.now();
const screen = new Screen(process.stdout, process.env);
const steps = new Steps(screen, now);
const timeline = new Timeline(now());

let session: Session | undefined;
let ending = false;

/** Leaves nothing behind, however the demo ends. */
async function end(code: number): Promise<never> {
  ending = true;
  screen.hide();
  await session
    ?.close()
    .catch((error: unknown) => screen.line(`  while ending the cluster: ${(error as Error).message}`));
  process.exit(code);
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    screen.line(`  ${signal}: ending`);
    void end(code);
  });
}

try {
  screen.line();
  screen.line(`  ${screen.style('bold', 'Sluice')}  versioned model deployments for Kubernetes`);
  screen.line();
  await steps.step('tools', async (say) => {
    await tools(say);
    return 'kubectl, Helm and HAProxy';
  });
  await steps.step('cluster', async (say) => {
    session = await openSession(say);
    return session.cluster.kind === 'external'
      ? 'the one that KUBECONFIG names'
      : 'a Kubernetes API, one CPU node and two GPU nodes';
  });
  await tell(session!, { screen, steps, timeline, now });
  screen.line();
  screen.line(`  ${screen.style('bold', 'Timeline')}`);
  for (const line of timeline.lines()) screen.line(`  ${line}`);
  screen.line();
  screen.line(`  ${screen.style('bold', 'Expectations')}`);
  for (const line of steps.verdicts()) screen.line(line);
  screen.line();
  if (!steps.allHeld) screen.line(`  ${screen.style('red', 'Not everything was as it had to be.')}`);
  else screen.line(`  To play with it: ${screen.style('bold', 'npm run up')}`);
  screen.line();
  await end(steps.allHeld ? 0 : 1);
} catch (error) {
  if (!ending) {
    screen.hide();
    screen.line(`  ${screen.style('red', (error as Error).message)}`);
    for (const line of steps.verdicts()) screen.line(line);
    await end(1);
  }
}
