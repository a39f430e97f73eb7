import type { z } from 'zod';

type Issue = z.core.$ZodIssue;
type Sized = Extract<Issue, { code: 'too_small' | 'too_big' }>;

/** How messages begin that no schema has worded itself. */
const UNWORDED = /^(Too (small|big): |Invalid )/;

const TYPES: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a number',
  string: 'a text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

const FORMATS: Readonly<Record<string, string>> = {
  datetime: 'an instant such as 2026-11-21T08:00:00Z',
  uuid: 'a UUID',
  base64: 'base64',
  url: 'a URL',
};

/** What a value must be, for the person who wrote it; a schema's own words stand. */
export function issueText(issue: Issue): string {
  if (!UNWORDED.test(issue.message)) return issue.message;
  switch (issue.code) {
    case 'too_small':
      return sizeText(issue, issue.minimum, issue.inclusive === false ? 'more than' : 'at least');
    case 'too_big':
      return sizeText(issue, issue.maximum, issue.inclusive === false ? 'less than' : 'at most');
    case 'invalid_type':
      return typeText(issue);
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.join(', ')}`;
    case 'invalid_format': {
      const { format, pattern } = issue;
      if (format === 'regex') return `must match ${pattern}`;
      return `must be ${FORMATS[format] ?? `a valid ${format}`}`;
    }
    case 'invalid_union':
      return unionText(issue);
    default:
      return issue.message;
  }
}

function sizeText({ origin }: Sized, limit: number | bigint, relation: string): string {
  const counted = origin === 'string' ? 'characters' : 'entries';
  if (origin !== 'string' && origin !== 'array' && origin !== 'set') {
    return `must be ${relation} ${limit}`;
  }
  if (relation === 'at least' && Number(limit) === 1) return 'must not be empty';
  return `must have ${relation} ${limit} ${counted}`;
}

function typeText({ expected, message }: Extract<Issue, { code: 'invalid_type' }>): string {
  const wanted = TYPES[expected] ?? expected;
  const received = receivedIn(message);
  if (received === 'undefined') return `is required: ${wanted}`;
  if (received === undefined || expected === 'int') return `must be ${wanted}`;
  return `must be ${wanted}, not ${TYPES[received] ?? received}`;
}

/** Of alternatives of which none has the right type. */
function unionText({ errors, message }: Extract<Issue, { code: 'invalid_union' }>): string {
  const types = errors.flatMap((issues) =>
    issues.flatMap((issue) => (issue.code === 'invalid_type' ? issue : [])),
  );
  if (types.length === 0) return message;
  const wanted = [...new Set(types.map(({ expected }) => TYPES[expected] ?? expected))].join(
    ' or ',
  );
  const isMissing = types.every((issue) => receivedIn(issue.message) === 'undefined');
  return isMissing ? `is required: ${wanted}` : `must be ${wanted}`;
}

/** The library tells the type that it met only in its message. */
function receivedIn(message: string): string | undefined {
  return /received (\w+)$/.exec(message)?.[1];
}
