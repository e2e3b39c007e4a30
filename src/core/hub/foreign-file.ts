import { FormatError } from '../errors.js';

/** Bytes that {@link refuseForeignFile} wants to see; a tar header's magic ends at 262. */
export const FOREIGN_HEAD_BYTES = 512;

/**
 * Refuses files that stand where weights are expected but are something well known instead.
 * @param head the first {@link FOREIGN_HEAD_BYTES} bytes, or all of a shorter file.
 * @throws FormatError naming what the file is and how to get the real one.
 */
export function refuseForeignFile(path: string, head: Uint8Array): void {
  const text = new TextDecoder('latin1').decode(head);
  if (text.startsWith('version https://git-lfs.github.com/')) {
    throw new FormatError(`${path} is a Git-LFS pointer, not the weights themselves`, { suggestions: ['run `git lfs pull` in the folder it came from'] });
  }
  if (/^\s*<(?:!DOCTYPE|html)/i.test(text)) {
    throw new FormatError(`${path} is not a weight file (starts with ${JSON.stringify(text.trimStart().slice(0, 9))}): it is an HTML page`, {
      suggestions: ['download it again: a web page was saved in its place'],
    });
  }
  if (text.slice(257, 262) === 'ustar') {
    throw new FormatError(`${path} is a tar archive, the format of torch <= 0.1.9`, {
      suggestions: ['load it with an old torch and save it again with safetensors.torch.save_file(state_dict, "model.safetensors")'],
    });
  }
}
