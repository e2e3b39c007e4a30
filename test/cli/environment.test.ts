import { homedir } from 'node:os';
import path from 'node:path';

import { expect } from 'chai';

import { readEnvironment } from '../../src/cli/environment.js';
import { BACKEND_NAMES } from '../../src/core/config/fields.js';
import { runFlags } from '../../src/cli/flags.js';
import Eval from '../../src/commands/eval.js';
import Generate from '../../src/commands/generate.js';
import { ENGINE_PRECISIONS } from '../../src/core/engine/layout.js';
import { EVAL_PRECISION } from '../../src/core/pipeline/evaluate-model.js';
import { GENERATE_PRECISION } from '../../src/core/pipeline/generate-text.js';

describe('environment', () => {
  it('has defaults where nothing or only blanks are set', () => {
    for (const variables of [{}, { HF_TOKEN: ' ', HF_ENDPOINT: '', HF_HOME: '', DEBUG: '', NO_COLOR: '' }]) {
      expect(readEnvironment(variables)).to.deep.equal({
        token: null, endpoint: 'https://huggingface.co', cacheDir: path.join(homedir(), '.cache', 'huggingface', 'hub'), isDebug: false, allowsColour: true,
      });
    }
  });

  it('takes what is set', () => {
    expect(readEnvironment({ HF_TOKEN: 'hf_x', HF_ENDPOINT: 'http://localhost:1//', HF_HOME: '/h', DEBUG: '*', NO_COLOR: '1' })).to.deep.equal({
      token: 'hf_x', endpoint: 'http://localhost:1', cacheDir: '/h/hub', isDebug: true, allowsColour: false,
    });
    expect(readEnvironment({ XDG_CACHE_HOME: '/c' }).cacheDir).to.equal('/c/huggingface/hub');
  });

  it('offers the backends the configuration knows, the engine and its precisions', () => {
    const { backend, precision } = runFlags('int8');
    expect(backend.options?.filter((name) => name !== 'engine')).to.deep.equal([...BACKEND_NAMES]);
    expect(backend.options).to.include('engine');
    expect(precision.options).to.deep.equal([...ENGINE_PRECISIONS]);
  });

  it('names the precision each command really takes', () => {
    expect(Eval.flags.precision.summary).to.contain(`[default: ${EVAL_PRECISION}]`);
    expect(Generate.flags.precision.summary).to.contain(`[default: ${GENERATE_PRECISION}]`);
  });
});
