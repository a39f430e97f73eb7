import { appendFileSync } from 'node:fs';
import { Log } from '../../apps/controller/src/adapters/log.ts';
import { HttpKubeClient } from '../../apps/controller/src/kube/http.kube.client.ts';
import { KubeConnection } from '../../apps/controller/src/kube/kube.connection.ts';
import { kubeCredentials } from '../../apps/controller/src/kube/kube.credentials.ts';
import { LeaderElection } from '../../apps/controller/src/kube/leader.election.ts';

/**
 * A replica that does nothing but act while it leads: a line with the time of every act, in
 * milliseconds since the machine started. Arguments: kubeconfig, identity, milliseconds of the
 * lease, file for the acts. SIGTERM makes it give the lease back.
 */
const [, , path = '', identity = '', durationMs = '', actsPath = ''] = process.argv;

const connection = new KubeConnection(kubeCredentials({ kind: 'KubeconfigFile', path }));
const client = new HttpKubeClient({ connection, namespace: 'default' });
const election = new LeaderElection({
  client,
  identity,
  lease: 'entrofleet-controller',
  durationMs: Number(durationMs),
  log: new Log('info'),
});
election.start();
setInterval(() => {
  if (!election.isLeader()) return;
  const sinceBootMs = Number(process.hrtime.bigint() / 1_000_000n);
  appendFileSync(actsPath, `${sinceBootMs}\n`);
}, 10);
process.on('SIGTERM', () => {
  void election.resign().then(() => process.exit(0));
});
