import { expect } from 'chai';

import { detokenizeWikitext } from '../../../../src/core/eval/tasks/detokenize-wikitext.js';

// What the published rules give in Python 3.11, among them the dead rule on /' 5/, and white space that only one of the two languages knows.
const CASES: readonly (readonly [string, string])[] = [
  [" = Robert Boulter = \n \n Robert Boulter is an English film , television and theatre actor . \n", " = Robert Boulter =\n\nRobert Boulter is an English film, television and theatre actor.\n"],
  ["the boys ' club , 1 @,@ 000 @.@ 5 well @-@ known", "the boys' club, 1,000.5 well-known"],
  ["dead /' 5/ rule and /'5/ alike", "dead /'[0-9]/ rule and /'5/ alike"],
  ["( a b ) [ c\u001cd\u001c ] { e } \" f g \" ' h ' it 's", "(a b) [c\u001cd] {e} \"f g\" 'h' it's"],
  ["= = = = A = = = = = = = B = = = = C = =", "==== A ======= B ==== C =="],
  ["40 \u00b0 north ; N or N N ! why ? no :", "40\u00b0north; 1 or 1 N! why? no :"],
  ["( nested ( a ) b ) ( \ufeff x \u0085 )", "(nested ( a) b ) (\ufeff x)"],
  ["\n\n \n", "\n\n\n"],
  ["", ""],
  ["s 's ' . . .", "s's'. . ."],
];

describe('the WikiText detokenizer', () => {
  CASES.forEach(([page, expected], i) => {
    it(`page ${i + 1} as Python has it`, () => expect(detokenizeWikitext(page)).to.equal(expected));
  });
});
