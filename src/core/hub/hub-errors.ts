import { DownloadError, Interrupted } from '../errors.js';

/** The connection could not be made or broke: trying again may help. */
export class ConnectionError extends DownloadError {}

/** Answers of a server that is busy or being restarted. */
const PASSING_STATUSES: readonly number[] = [408, 429, 500, 502, 503, 504];

/** True when the same request may succeed a moment later. */
export function isPassing(error: unknown): error is DownloadError {
  return error instanceof ConnectionError || (error instanceof DownloadError && error.status !== null && PASSING_STATUSES.includes(error.status));
}

/** What an aborted download says. */
export function interruptedDownload(): Interrupted {
  return new Interrupted('the download was interrupted; what has arrived is kept', { suggestions: ['run the same command again: it continues where it stopped'] });
}

/** Explains a connection that failed or broke. @param state what had been reached, e.g. `3 of 9 bytes had arrived`; empty: nothing. */
export function connectionError(cause: unknown, url: string, state = ''): ConnectionError {
  const root = (cause as { cause?: { code?: string; message?: string } }).cause;
  const reason = root?.code ?? root?.message ?? (cause as Error).message;
  return new ConnectionError(`the connection to ${new URL(url).host} failed (${reason})${state === '' ? '' : `: ${state}`}`, {
    url, cause, suggestions: ['run the same command again: it continues where it stopped', 'check the network, or name another hub with --endpoint URL (HF_ENDPOINT)'],
  });
}

/** What a request was about, for messages and advice. */
export interface Request {
  readonly repo: string;
  readonly revision: string;
  readonly endpoint: string;
  readonly hasToken: boolean;
}

/** Explains an answer that is not a success. */
export async function statusError(response: Response, request: Request): Promise<DownloadError> {
  const code = response.headers.get('X-Error-Code');
  const said = response.headers.get('X-Error-Message') ?? await errorText(response);
  const { found, suggestions } = explain(response.status, code, request);
  const detail = said === '' ? '' : `: ${said}`;
  return new DownloadError(`${found} (${response.status}${code === null ? '' : ` ${code}`}${detail})`, { status: response.status, url: response.url, suggestions });
}

function explain(status: number, code: string | null, { repo, revision, endpoint, hasToken }: Request): { found: string; suggestions: readonly string[] } {
  const checkId = `check the repository id ${repo} at ${endpoint}/${repo}`;
  if (status === 401) {
    const token = hasToken ? 'the access token was not accepted: make a new one and set HF_TOKEN or --token hf_…' : 'if it is private or gated: set HF_TOKEN or --token hf_…';
    return { found: `${repo} is private, gated or does not exist`, suggestions: [checkId, token] };
  }
  if (status === 403) {
    return { found: `access to ${repo} is refused`, suggestions: [`accept the model's terms at ${endpoint}/${repo}, then set HF_TOKEN or --token hf_… of that account`] };
  }
  if (status === 404 && code === 'RevisionNotFound') return { found: `${repo} has no revision ${revision}`, suggestions: ['--revision main', `see the branches at ${endpoint}/${repo}/tree/main`] };
  if (status === 404 && code === 'EntryNotFound') return { found: `a file of ${repo} is not there any more`, suggestions: ['run the same command again'] };
  if (status === 404) return { found: `${repo} was not found on ${endpoint}`, suggestions: [checkId, 'if it is private: set HF_TOKEN or --token hf_…'] };
  if (status === 429) return { found: `${endpoint} limits the rate of requests`, suggestions: ['wait a few minutes', 'set HF_TOKEN or --token hf_…: the limit is higher'] };
  return { found: `${endpoint} failed to answer`, suggestions: ['try again later'] };
}

/** The `error` of a JSON answer, in one line of sensible length. */
async function errorText(response: Response): Promise<string> {
  const text = await response.text().catch(() => '');
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    return typeof error === 'string' ? error.replace(/\s+/g, ' ').slice(0, 200) : '';
  } catch {
    return '';
  }
}
