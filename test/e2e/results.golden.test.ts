import { z } from 'zod';

import { expectGolden } from '../support/golden.js';
import { RESULT_SCHEMAS } from '../support/result-schemas.js';
import { documentOf, expectCli } from '../support/run-cli.js';
import { withTempFolder } from '../support/temp-folder.js';

describe('golden: what --json promises', () => {
  for (const [name, schema] of Object.entries(RESULT_SCHEMAS)) {
    it(name, () => expectGolden(`results/${name.replaceAll(' ', '-')}.schema.json`, `${JSON.stringify(z.toJSONSchema(schema, { unrepresentable: 'any' }), null, 2)}\n`));
  }
});

describe('doctor', () => {
  it('prints the promised document', () => withTempFolder(async (folder) => {
    RESULT_SCHEMAS.doctor.parse(await documentOf(await expectCli(0, ['doctor', '--json'], { folder })));
  })).timeout(60_000);
});
