import { expect } from 'chai';
import { BYTE_CHARACTERS, bytesOfToken, toByteCharacters } from '../../../src/core/tokenizer/byte-alphabet.js';

describe('tokenizer/byte-alphabet', () => {
  it('gives printable Latin-1 to itself and the rest U+0100 and on, in order', () => {
    // The 33 bytes 0x00-0x20 come first, so the space is U+0120; then 0x7f-0xa0 (34 of them, up to U+0142) and 0xad (U+0143).
    expect([0x00, 0x20, 0x21, 0x7e, 0x7f, 0xa0, 0xa1, 0xad, 0xff].map((byte) => BYTE_CHARACTERS[byte])).to.deep.equal(['\u0100', 'Ġ', '!', '~', '\u0121', '\u0142', '¡', '\u0143', 'ÿ']);
    expect(new Set(BYTE_CHARACTERS).size).to.equal(256);
  });

  it('writes UTF-8 and reads it back', () => {
    // é is c3 a9; U+1F600 is f0 9f 98 80, where 9f, 98 and 80 are the 33rd, 26th and 2nd byte from 0x7f.
    expect(toByteCharacters(' é')).to.equal('ĠÃ©');
    expect(toByteCharacters('😀')).to.equal('ðŁĺĢ');
    expect([...bytesOfToken('ðŁĺĢ')]).to.deep.equal([0xf0, 0x9f, 0x98, 0x80]);
  });

  it('reads an entry that is not in the alphabet as its own text', () => {
    expect([...bytesOfToken('▁a')]).to.deep.equal([0xe2, 0x96, 0x81, 0x61]);
  });
});
