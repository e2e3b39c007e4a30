import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'chai';
import { parse } from 'yaml';

import { configJsonSchema, keyPaths } from '../../../src/core/config/json-schema.js';
import { loadDistillConfig, loadTeacherConfig } from '../../../src/core/config/load.js';
import { packageRoot, shippedConfigsFolder, teacherFolder } from '../../../src/core/config/shipped.js';
import { valueAt } from '../../../src/core/config/layers.js';
import { expectedConfigFiles } from '../../../scripts/update-configs.js';

const KINDS = { distill: loadDistillConfig, teacher: loadTeacherConfig } as const;

for (const kind of ['distill', 'teacher'] as const) {
  describe(`shipped configurations: configs/${kind}`, async () => {
    const folder = path.join(shippedConfigsFolder(), kind);
    for (const name of await readdir(folder)) {
      it(`${name} is accepted and shows every key`, async () => {
        const file = path.join(folder, name);
        expect(await KINDS[kind]({ file })).to.include.keys('run', 'train');
        const text = await readFile(file, 'utf8');
        expect(text.split('\n')[0]).to.equal(`# yaml-language-server: $schema=../schemas/${kind}.schema.json`);
        const values: unknown = parse(text);
        for (const key of keyPaths(configJsonSchema(kind))) expect(valueAt(values, key.split('.')), key).to.not.equal(undefined);
      });
    }
  });
}

describe('shipped configurations', () => {
  it('are what `npm run configs:update` writes', async () => {
    for (const [name, expected] of await expectedConfigFiles()) {
      expect(await readFile(path.join(shippedConfigsFolder(), name), 'utf8'), `configs/${name}: run npm run configs:update`).to.equal(expected);
    }
  });

  it('describe every key', () => {
    for (const kind of ['distill', 'teacher'] as const) {
      const undescribed = (node: ReturnType<typeof configJsonSchema>, prefix: string): string[] =>
        Object.entries(node.properties ?? {}).flatMap(([key, child]) => [
          ...(child.description === undefined ? [`${prefix}${key}`] : []), ...undescribed(child, `${prefix}${key}.`)]);
      expect(undescribed(configJsonSchema(kind), '')).to.deep.equal([]);
    }
  });

  it('name the built-in models by words that work in every folder', () => {
    expect(teacherFolder('builtin:stories')).to.equal(path.join(packageRoot(), 'assets', 'stories-teacher'));
    expect(teacherFolder('builtin:stories-student')).to.equal(path.join(packageRoot(), 'assets', 'stories-student'));
    expect(teacherFolder('models/opt')).to.equal('models/opt');
  });
});
