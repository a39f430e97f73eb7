/**
 * Loaded into an agent before it starts: kills its process with SIGKILL at a place that the
 * environment names. KILL_STATE and KILL_MODEL say at which journal record, KILL_AFTER_MS how long
 * after it is on disk; -1: before it is written.
 */
import { UpdateJournal } from '../../apps/agent/src/update.journal.ts';

const { KILL_STATE, KILL_MODEL, KILL_AFTER_MS = '0' } = process.env;
const afterMs = Number(KILL_AFTER_MS);
const { write } = UpdateJournal.prototype;

const kill = () => process.kill(process.pid, 'SIGKILL');

UpdateJournal.prototype.write = async function (this: UpdateJournal, record) {
  const { state, desired } = record.situation;
  const isPlace = state === KILL_STATE && (desired?.target?.model ?? 'none') === KILL_MODEL;
  if (isPlace && afterMs < 0) kill();
  await write.call(this, record);
  if (isPlace && afterMs === 0) kill();
  else if (isPlace) setTimeout(kill, afterMs);
};
