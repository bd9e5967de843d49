/** `node e2e/cluster/launch.ts COMMAND…`: runs it where a cluster can be started (see assets/network.ts). */
import { launch } from './assets/network.ts';

process.exitCode = await launch(process.argv.slice(2));
