import type { IncomingMessage } from 'node:http';

import { ApiError } from './api-error.js';

/** Reads a request's body as JSON, never more of it than `limit` bytes. @throws ApiError 400, 413. */
export async function readJsonBody(request: IncomingMessage, limit: number): Promise<unknown> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > limit) throw tooLarge(limit);
  const bytes = await collect(request, limit);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ApiError(400, `the body is not JSON: ${(cause as Error).message}`);
  }
}

/** Iterating over the request would close its connection on the first error, and with it the way for the answer. */
function collect(request: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    request.on('data', (piece: Buffer) => {
      bytes += piece.length;
      if (bytes <= limit) pieces.push(piece);
      else {
        request.pause();
        pieces.length = 0;
        reject(tooLarge(limit));
      }
    });
    request.once('end', () => { resolve(Buffer.concat(pieces)); });
    request.once('error', reject);
    request.once('aborted', () => { reject(new ApiError(400, 'the client left before its request was complete')); });
  });
}

const tooLarge = (limit: number): ApiError => new ApiError(413, `the body is larger than ${limit} bytes`, { code: 'body_too_large' });
