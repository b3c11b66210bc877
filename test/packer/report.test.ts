/** Reports: what is said of figures, that names stay text, and that parts without data are left out. */
import { describe, expect, test } from 'vitest';
import { type Report, reportHtml } from '../../src/packer/report/index';

const bare: Report = { title: 'net' };

describe('report', () => {
  test('names are text, whatever they hold', () => {
    const name = `</style><script>alert(1)</script>"'&\u0000\ud800\u202e`;
    const text = reportHtml({
      title: name,
      files: [{ name, bytes: 1 }],
      steps: [{ name, what: name, before: {}, after: { bytes: 1 }, kept: false, why: name, seconds: 1 }],
      facts: [[name, name]],
    });
    for (const part of ['<script', '</style><', '\0', '\u202e', '\ud800']) expect(text).not.toContain(part);
    expect(text.match(/&lt;script&gt;alert\(1\)&lt;\/script&gt;&quot;&#39;&amp;\ufffd\ufffd\ufffd/g)!.length).toBeGreaterThan(6);
  });

  test('a section without data is left out', () => {
    expect(reportHtml(bare)).not.toMatch(/<section/);
    expect(reportHtml({ ...bare, files: [], steps: [], facts: [] })).toBe(reportHtml(bare));
    expect(reportHtml({ ...bare, files: [{ name: 'a', bytes: 12 }] }).match(/<section/g)).toHaveLength(1);
  });

  test('only what was measured has a column, and differences say whether they are good', () => {
    const files = [
      { name: 'before', bytes: 100_000, top1: 94.5, ms: 2 },
      { name: 'after', bytes: 25_000, top1: 94.25, ms: 2 },
    ];
    const text = reportHtml({ ...bare, files });
    expect([...text.matchAll(/<th[^>]*>(Size|Top-\d|Time|Memory)</g)].map(([, name]) => name)).toEqual(['Size', 'Top-1', 'Time']);
    expect(text).toContain('25.0\u202fkB<span class="good">\u221275\u202f%</span>');
    expect(text).toContain('94.25\u202f%<span class="bad">\u22120.25</span>');
    expect(text).toContain('<td>2.00\u202fms</td></tr></tbody>');
  });
});
