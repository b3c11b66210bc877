/** The OCR pipeline: its parts on small made-up inputs, and the whole of it over onnxruntime-node on drawn text. */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { detectorView, textBoxes } from '../../demo/ocr/detect';
import {
  contains,
  convexHull,
  corners,
  leastRectangle,
  type Point,
  perspective,
  project,
  type Quad,
} from '../../demo/ocr/geometry';
import { halfTurn, type Picture, planes, resize } from '../../demo/ocr/picture';
import { type Models, readText } from '../../demo/ocr/read';
import { classifierView, decode, isUpsideDown, recognizerLabels, recognizerView } from '../../demo/ocr/recognize';
import { straightened, upsideDown, viewOf, whole } from '../../demo/ocr/view';
import { readLabels, readPicture } from '../../scripts/ocr';
import { imageTensor } from '../../src/runtime/image';
import { onnxModels } from './onnx';

/** A picture whose red channel is given and whose green, blue and alpha are 0, 0, 255. */
function reds(rows: number[][]): Picture {
  const width = rows[0]!.length;
  return { width, height: rows.length, data: Uint8ClampedArray.from(rows.flat().flatMap((red) => [red, 0, 0, 255])) };
}

const redsOf = ({ width, height, data }: Picture) =>
  Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => data[(y * width + x) * 4]));

const rounded = (points: readonly Point[]) =>
  points.map(([x, y]) => [Math.round(x * 1e6) / 1e6 + 0, Math.round(y * 1e6) / 1e6 + 0]);

describe('geometry', () => {
  test('the hull leaves out points inside and on its sides', () => {
    const hull = convexHull([[0, 0], [4, 0], [2, 0], [2, 1], [4, 3], [0, 3]]); // biome-ignore format: one row
    expect(new Set(hull.map(String))).toEqual(new Set(['0,0', '4,0', '4,3', '0,3']));
  });

  test('the least rectangle of a tilted square is the square, not its upright bounds', () => {
    const square = leastRectangle([[2, 0], [4, 2], [2, 4], [0, 2], [2, 2]]); // biome-ignore format: one row
    expect(square.width).toBeCloseTo(Math.SQRT2 * 2);
    expect(square.height).toBeCloseTo(Math.SQRT2 * 2);
    expect(rounded([square.center])).toEqual([[2, 2]]);
  });

  test('the least rectangle of one point and of a straight row has no area', () => {
    expect(leastRectangle([[3, 5]])).toMatchObject({ center: [3, 5], width: 0, height: 0 });
    const row = leastRectangle([[0, 1], [9, 1], [4, 1]]); // biome-ignore format: one row
    expect([row.width, row.height].sort()).toEqual([0, 9]);
  });

  test('corners are in reading order whichever way the axis points', () => {
    for (const axis of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
      const [width, height] = axis[0] === 0 ? [2, 6] : [6, 2];
      expect(rounded(corners({ center: [3, 1], axis, width, height }))).toEqual([[0, 0], [6, 0], [6, 2], [0, 2]]);
    } // biome-ignore format: rows of corners
  });

  test('a quadrilateral holds its border and not its outside', () => {
    const quad: Quad = [[0, 0], [4, 0], [4, 2], [0, 2]]; // biome-ignore format: one row
    expect(contains(quad, [4, 1])).toBe(true);
    expect(contains(quad, [2, 1])).toBe(true);
    expect(contains(quad, [4.1, 1])).toBe(false);
  });

  test('a perspective map takes corners to corners', () => {
    const from: Quad = [[0, 0], [10, 0], [10, 5], [0, 5]]; // biome-ignore format: one row
    const to: Quad = [[3, 2], [12, 1], [13, 9], [2, 7]]; // biome-ignore format: one row
    const map = perspective(from, to);
    expect(rounded(from.map(([x, y]) => project(map, x, y)))).toEqual(to.map(([x, y]) => [x, y]));
  });
});

describe('picture', () => {
  test('resize samples at pixel centres, as OpenCV does', () => {
    // 4 → 2 averages pairs; 2 → 4 weighs 1/4 and 3/4 and repeats the border.
    expect(redsOf(resize(reds([[0, 100, 200, 100]]), 2, 1))).toEqual([[50, 150]]);
    expect(redsOf(resize(reds([[0, 200]]), 4, 1))).toEqual([[0, 50, 150, 200]]);
  });

  test('straightening copies an upright box and turns a tall one a quarter to the left', () => {
    const picture = reds([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]); // biome-ignore format: one row
    expect(redsOf(straightened(picture, [[1, 0], [3, 0], [3, 2], [1, 2]]).pixels())).toEqual([[2, 3], [6, 7]]);
    expect(redsOf(straightened(picture, [[1, 0], [2, 0], [2, 3], [1, 3]]).pixels())).toEqual([[2, 6, 10]]);
  }); // biome-ignore format: rows of pixels

  test.each([
    ['upright', [[2, 1], [9, 1], [9, 4], [2, 4]], 4], // biome-ignore format: one row
    ['tall', [[3, 0], [6, 0], [6, 8], [3, 8]], 5], // biome-ignore format: one row
  ] as const)('what runtimes that are told a view see is its tensor: %s', (_, quad, padding) => {
    const picture = { width: 12, height: 8, data: Uint8ClampedArray.from({ length: 12 * 8 * 4 }, (_, i) => (i * 89) % 256) };
    const mean = [10, 20, 30] as const;
    const processing = { input: 'x', layout: 'nchw', channels: 'bgr', mean, scale: [1, 2, 4] } as const;
    const normalization = { mean: [10 / 255, 20 / 255, 30 / 255], deviation: [1 / 255, 1 / 510, 1 / 1020] } as const;
    const found = straightened(picture, quad);
    for (const part of [whole(picture), found, upsideDown(found)]) {
      const { width: columns, height } = part;
      const view = viewOf(part, normalization, { height, width: columns + padding, columns });
      const { data, shape } = view.tensor();
      const seen = imageTensor({ image: picture, ...view, processing });
      expect(seen.shape).toEqual(shape);
      seen.data.forEach((v, i) => void expect(v).toBeCloseTo(data[i]!, 2));
    }
  });

  test('a half turn reverses rows and columns, also of a view that starts at an odd byte', () => {
    const odd = new Uint8ClampedArray(9);
    odd.set([1, 2, 3, 4, 5, 6, 7, 8], 1);
    expect([...halfTurn({ width: 2, height: 1, data: odd.subarray(1) }).data]).toEqual([5, 6, 7, 8, 1, 2, 3, 4]);
  });

  test('planes are blue, green, red, normalised, and zero in the padding', () => {
    const picture: Picture = { width: 1, height: 1, data: Uint8ClampedArray.of(255, 51, 0, 255) };
    const { data, shape } = planes(picture, { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.25] }, 2);
    expect(shape).toEqual([1, 3, 1, 2]);
    expect([...data].map((v) => Math.round(v * 1e5) / 1e5)).toEqual([-1, 0, -0.6, 0, 2, 0]);
  });
});

describe('detector', () => {
  test('sides are multiples of 32 and at most 960', () => {
    const blank = (width: number, height: number): Picture => ({
      width,
      height,
      data: new Uint8ClampedArray(width * height * 4),
    });
    expect(detectorView(blank(640, 720)).tensor().shape).toEqual([1, 3, 704, 640]);
    expect(detectorView(blank(1920, 1080)).tensor().shape).toEqual([1, 3, 544, 960]);
    expect(detectorView(blank(5, 3)).tensor().shape).toEqual([1, 3, 32, 32]);
  });

  /** A map of 64 x 32 that is `value` in the given rectangles (first and last pixel). */
  function map(rectangles: [x0: number, y0: number, x1: number, y1: number][], value = 0.9) {
    const data = new Float32Array(64 * 32);
    for (const [x0, y0, x1, y1] of rectangles)
      for (let y = y0; y <= y1; y++) for (let x = x0; x <= x1; x++) data[y * 64 + x] = value;
    return { data, shape: [1, 1, 32, 64] };
  }

  test('a core grows by area × 1.5 / perimeter and is scaled to the picture', () => {
    // 30 x 10 between pixel centres: 300 · 1.5 / 80 = 5.625 on each side; the picture is twice the map.
    const [box] = textBoxes(map([[20, 10, 50, 20]]), { width: 128, height: 64 });
    expect(box!.quad).toEqual([[29, 9], [111, 9], [111, 51], [29, 51]]); // biome-ignore format: one row
    expect(box!.score).toBeCloseTo(0.9);
  });

  test('pixels that touch at a corner are one core; faint, thin and empty ones give no box', () => {
    expect(textBoxes(map([[10, 10, 20, 14], [21, 15, 30, 19]], 0.9), { width: 64, height: 32 })).toHaveLength(0); // biome-ignore format: one row
    expect(textBoxes(map([[10, 10, 30, 20]], 0.5), { width: 64, height: 32 })).toHaveLength(0);
    expect(textBoxes(map([[10, 10, 50, 12]]), { width: 64, height: 32 })).toHaveLength(0);
    expect(textBoxes(map([]), { width: 64, height: 32 })).toHaveLength(0);
  });

  test('boxes on about the same height are read from left to right', () => {
    const boxes = textBoxes(map([[36, 4, 56, 10], [6, 6, 26, 12], [6, 20, 26, 26]]), { width: 64, height: 32 }); // biome-ignore format: one row
    expect(boxes.map(({ quad }) => quad[0][0])).toEqual([3, 33, 3]);
  });
});

describe('classifier and recogniser', () => {
  const line = (width: number, height: number) =>
    whole({ width, height, data: new Uint8ClampedArray(width * height * 4).fill(255) });

  test('the classifier takes 48 x 192, padded or squeezed', () => {
    const padded = classifierView(line(48, 24)).tensor();
    expect(padded.shape).toEqual([1, 3, 48, 192]);
    expect([padded.data[95], padded.data[96]]).toEqual([1, 0]);
    expect(classifierView(line(1000, 24)).tensor().data[191]).toBe(1);
  });

  test('the recogniser takes 48 x W, W at least 320 and a multiple of 32', () => {
    expect(recognizerView(line(60, 30)).tensor().shape).toEqual([1, 3, 48, 320]);
    expect(recognizerView(line(300, 30)).tensor().shape).toEqual([1, 3, 48, 480]);
    expect(recognizerView(line(301, 30)).tensor().shape).toEqual([1, 3, 48, 512]);
    expect(recognizerView(line(30_000, 30)).tensor().shape).toEqual([1, 3, 48, 3200]);
  });

  test('a line is turned only where the classifier is sure', () => {
    const output = (upright: number, turned: number) => ({ data: Float32Array.of(upright, turned), shape: [1, 2] });
    expect(isUpsideDown(output(0.05, 0.95))).toBe(true);
    expect(isUpsideDown(output(0.2, 0.8))).toBe(false);
    expect(isUpsideDown(output(0.95, 0.05))).toBe(false);
  });

  test('decoding drops blanks and repeats, and keeps doubles that a blank parts', () => {
    const labels = ['', 'a', 'b', ' '];
    const steps = [1, 1, 0, 1, 2, 3, 2, 2];
    const data = new Float32Array(steps.length * 4).fill(0.1);
    steps.forEach((label, step) => (data[step * 4 + label] = 0.7));
    const reading = decode({ data, shape: [1, steps.length, 4] }, labels);
    expect(reading.text).toBe('aab b');
    expect(reading.score).toBeCloseTo(0.7);
    expect(decode({ data: new Float32Array(8), shape: [1, 2, 4] }, labels)).toEqual({ text: '', score: 0 });
  });

  test('labels are blank, the dictionary, space', () => {
    expect(recognizerLabels('一\r\n二\n')).toEqual(['', '一', '二', ' ']);
    const labels = readLabels();
    expect(labels).toHaveLength(6625);
    expect(labels[1]).toBe("'");
  });
});

describe('over onnxruntime', () => {
  let models: Models;
  beforeAll(async () => {
    models = await onnxModels();
  });

  const texts: string[] = JSON.parse(readFileSync('test/demo/lines/texts.json', 'utf8'));
  test.each(texts.map((text, index) => ({ text, file: `test/demo/lines/line-${index + 1}.png` })))(
    'reads $file: $text',
    async ({ text, file }) => {
      const { lines } = await readText(await readPicture(file), models);
      expect(lines.map(({ reading }) => reading.text)).toEqual([text]);
    },
  );

  test('reads the sample picture, its tilted and its upside-down line too', async () => {
    const heard: string[] = [];
    const { lines, times } = await readText(await readPicture('demo/ocr/sample.png'), models, {
      onLine: ({ reading }) => heard.push(reading.text),
    });
    expect(heard).toEqual(lines.map(({ reading }) => reading.text));
    expect(heard).toEqual([
      ...[
        'Harbor Coffee',
        '港口咖啡馆',
        'Open every day',
        '8:00-18:30',
        '今日推荐',
        'Black coffee',
        '$3.20',
        '热牛奶和面包',
        '25元',
      ],
      ...['Lemon cake', '$4.75', '绿茶，可免费续杯', '18元', 'www.harbor-cafe.example', 'WELCOME', 'Please turn me over'],
    ]);
    expect(lines.filter(({ turned }) => turned).map(({ reading }) => reading.text)).toEqual(['Please turn me over']);
    expect(times.detect.runs).toBe(1);
    expect(times.recognize.runs).toBe(times.classify.runs);
  });

  test('stops before the next network when it is told to', async () => {
    const stop = new AbortController();
    let seen = 0;
    const picture = await readPicture('demo/ocr/sample.png');
    const onLine = () => ++seen === 2 && stop.abort(new Error('enough'));
    await expect(readText(picture, models, { onLine, signal: stop.signal })).rejects.toThrow('enough');
    expect(seen).toBe(2);
  });
});
