/** A word to the service manager. */
export interface ServiceNotice {
  /** An absolute path, or a name that begins with `@`: what NOTIFY_SOCKET holds. */
  readonly socketPath: string;
  /** Assignments on lines of their own, as in sd_notify(3): `READY=1`. */
  readonly message: string;
}

export interface ServiceBinding {
  /**
   * Sends one datagram, without ever waiting.
   * @throws Error with code `BadArgument`, or `NotNotified` naming the socket and what is wrong.
   */
  notifyService(notice: ServiceNotice): void;
}
