/** What we use of Express' request. */
export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Absent where no route takes the request. */
  readonly route?: { readonly path: string };
  /** The media type given that matches, `false` for another one, `null` without a body. */
  is(type: string[]): string | false | null;
}

/** What we use of Express' response. */
export interface HttpResponse {
  readonly headersSent: boolean;
  readonly statusCode: number;
  getHeader(name: string): unknown;
  status(code: number): this;
  type(mediaType: string): this;
  set(headers: Readonly<Record<string, string>>): this;
  send(body: string): this;
  destroy(): void;
  once(event: 'close', listener: () => void): this;
  sendFile(
    name: string,
    options: { root: string; dotfiles: 'allow'; cacheControl: boolean },
    done: (error?: Error) => void,
  ): void;
}
