import { Unprocessable } from '../errors.ts';

interface NamedInput {
  readonly metadata: { readonly name: string; readonly resourceVersion?: string | undefined };
}

/** @throws Unprocessable when a body that is put under a name is about another object. */
export function assertNamed(input: NamedInput, name: string): void {
  if (input.metadata.name === name) return;
  throw invalid('/metadata/name', `must be "${name}", as in the path`);
}

/** @throws Unprocessable when an object to be created says which version of it is meant. */
export function assertNew(input: NamedInput): void {
  if (input.metadata.resourceVersion === undefined) return;
  throw invalid('/metadata/resourceVersion', 'a new object has none; use PUT to update');
}

function invalid(pointer: string, message: string): Unprocessable {
  const errors = [{ pointer, message }];
  return new Unprocessable({ reason: 'Invalid', message: `${pointer}: ${message}`, errors });
}
