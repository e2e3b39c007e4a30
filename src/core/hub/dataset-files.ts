import { FormatError } from '../errors.js';
import type { DownloadOptions } from './download.js';
import { downloadSnapshot } from './download.js';
import type { LocalSnapshot } from './local-snapshot.js';
import type { RunContext } from '../types.js';

/** A split of one configuration of a dataset. */
export interface DatasetSplit {
  /** Configuration, `default` where there is only one. */ readonly name: string;
  readonly split: string;
}

/** Where the Hub keeps its own Parquet copy of datasets that are stored in other ways. */
export const PARQUET_REVISION = 'refs/convert/parquet';

/** The repository has no file of the split where one is looked for; another revision may. */
export class NoSuchSplit extends FormatError {}

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

/**
 * The files of a split among those of a repository, in the layouts the Hub's tools write: `NAME/SPLIT-00000-of-00001.parquet`, `NAME/SPLIT/0000.parquet`,
 * `NAME/SPLIT.parquet` or `.jsonl`; for the configuration `default` also in `data/` or at the top.
 * @throws NoSuchSplit when there are none.
 */
export function chooseDatasetFiles(present: readonly string[], source: string, { name, split }: DatasetSplit): readonly string[] {
  const folders = name === 'default' ? ['default/', 'data/', ''] : [`${name}/`];
  const forms = ['-\\d+-of-\\d+\\.parquet', '/\\d+\\.parquet', '\\.parquet', '\\.jsonl'];
  for (const folder of folders) {
    for (const form of forms) {
      const pattern = new RegExp(`^${escape(folder)}${escape(split)}${form}$`);
      const found = present.filter((file) => pattern.test(file)).sort();
      if (found.length > 0) return found;
    }
  }
  const items = present.filter((file) => /\.(?:parquet|jsonl)$/.test(file)).slice(0, 8);
  throw new NoSuchSplit(`${source} has no file of the split ${split} of ${name}${items.length === 0 ? ' (no .parquet or .jsonl at all)' : `; found ${items.join(', ')}`}`, {
    suggestions: ['Check dataset.name, dataset.revision and split in the task file', 'Or put the items in a folder: --data-path FOLDER'],
  });
}

/**
 * Brings a split into the cache: from the revision, else from the Hub's own Parquet copy.
 * @throws NoSuchSplit, and whatever a download gives cause for.
 */
export async function downloadSplit(options: Omit<DownloadOptions, 'content'>, wanted: DatasetSplit, ctx: RunContext): Promise<LocalSnapshot> {
  const content = {
    type: 'dataset', selection: `${wanted.name}.${wanted.split}`, choose: (present: readonly string[], source: string) => chooseDatasetFiles(present, source, wanted),
  } as const;
  try {
    return await downloadSnapshot({ ...options, content }, ctx);
  } catch (error) {
    if (!(error instanceof NoSuchSplit) || options.revision !== 'main') throw error;
    return downloadSnapshot({ ...options, revision: PARQUET_REVISION, content }, ctx).catch((second: unknown) => { throw second instanceof NoSuchSplit || isMissing(second) ? error : second; });
  }
}

const isMissing = (error: unknown): boolean => (error as { status?: number }).status === 404;
