/** A report that has everything, all of whose names are one: for tests of how it is written and shown. */
import type { Report } from '../../src/packer/report/index';

export function fullReport(name: string): Report {
  const distribution = { name, low: -1, high: 2, counts: Array.from({ length: 64 }, (_, i) => (i * 37) % 50), zeros: 0.25 };
  const figures = [
    { bytes: 310_000, top1: 94.62, parameters: 78_000, macs: 12.1e6 },
    { bytes: 124_000, top1: 94.45, parameters: 31_000, macs: 4.9e6, ms: 0.31 },
    { bytes: 101_000, top1: 93.61, parameters: 25_000, macs: 4e6, ms: 0.36 },
    { bytes: 12_700, top1: 94.0, parameters: 31_000, macs: 4.9e6, ms: 0.21, memory: 158_000, bitsPerWeight: 1.7 },
  ] as const;
  return {
    title: name,
    summary: name,
    files: [
      { name, ...figures[0] },
      { name: `${name} after`, ...figures[3] },
    ],
    steps: figures.map((after, i) => ({
      ...{ name, what: name, why: name, seconds: 40 * 9 ** i, kept: i !== 2 },
      ...{ before: figures[i - 1] ?? {}, after },
    })),
    sensitivity: ['conv1', 'conv2'].map((layer, i) => ({
      layer: `${name} ${layer}`,
      weights: 288,
      chosen: name,
      choices: [
        { format: name, error: 1e-5 * (i + 1) },
        { format: 'int4', error: 0.02 },
      ],
    })),
    storage: [{ file: name, layers: [{ layer: name, elements: 100, parts: [{ encoding: name, bytes: 300 }] }] }],
    histograms: [{ file: name, weights: Array.from({ length: 30 }, () => distribution), activations: [distribution] }],
    training: [name, 'student'].map((run) => ({
      name: run,
      epochs: Array.from({ length: 12 }, (_, e) => ({ epoch: e + 1, loss: 2 / (e + 1), top1: 95 - 20 / (e + 1) })),
    })),
    facts: [[name, name]],
  };
}
