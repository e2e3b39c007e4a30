import { expect } from 'chai';

import { formatBytes, formatDuration, formatNumber, formatPercent, formatTable } from '../../src/cli/format.js';

describe('numbers for people', () => {
  it('have the digits that matter', () => {
    expect([3, 1234567, -5, 0].map((value) => formatNumber(value))).to.deep.equal(['3', '1,234,567', '-5', '0']);
    expect([0.12345, 3.14159, 123.456].map((value) => formatNumber(value))).to.deep.equal(['0.123', '3.142', '123.5']);
    expect([0.00001234, 1234567.8].map((value) => formatNumber(value))).to.deep.equal(['1.23e-5', '1.23e+6']);
    expect(formatPercent(0.0587)).to.equal('5.87 %');
  });

  it('have units', () => {
    expect([0, 999, 1000, 2_500_000, 3e12].map(formatBytes)).to.deep.equal(['0 B', '999 B', '1.0 kB', '2.5 MB', '3.0 TB']);
    expect([850, 12_340, 245_000].map(formatDuration)).to.deep.equal(['850 ms', '12.3 s', '4 min 5 s']);
  });

  it('line up in tables: text left, numbers right', () => {
    expect(formatTable([['', 'nats'], ['student', '3.5'], ['a', '12.25']])).to.equal('          nats\nstudent    3.5\na        12.25');
  });
});
