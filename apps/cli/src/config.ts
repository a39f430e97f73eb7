/** The controller's own default address. */
const SERVER_DEFAULT = 'http://127.0.0.1:8080';

/** Address of the controller's REST API when `--server` does not say. */
export function serverFromEnvironment(environment: NodeJS.ProcessEnv = process.env): string {
  const { ENTROFLEET_SERVER: server = '' } = environment;
  return server === '' ? SERVER_DEFAULT : server;
}
