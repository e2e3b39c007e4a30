import { z } from 'zod';

import { path, wholeNumber } from './fields.js';

/** What `--cache-teacher` keeps of the teacher, so that later passes and runs need not run it. */
export const teacherCacheSchema = z.strictObject({
  enabled: z.boolean().default(false)
    .describe('Train from a sample of the teacher\'s distribution kept on disk, and run the teacher only on what is not there yet; '
      + 'the losses on attention maps and residual streams are then off. Also --cache-teacher.'),
  folder: path().nullable().default(null)
    .describe('Folder of the cache; null = .bispik/ beside the run folder, one for each teacher, corpus, context, temperature and number of samples.'),
  // 4·14 + 4 = 60 bytes a token leave room for where windows begin.
  samples: wholeNumber(1).max(14).default(12).describe('Ids kept per token; a token takes 4 bytes for each and 4 more [ids].'),
});
