/** `npm run train:fashion -- [EPOCHS] [WORKERS] [SEED]`: trains the reference net on Fashion-MNIST and prints what it takes, a line of JSON. */
import reference from '../models/fashion-mnist/reference';
import { loadDataset } from '../src/packer/data/load';
import { buildModel } from '../src/packer/train/layers';
import { train } from '../src/packer/train/train';

const REPORT_MS = 10_000;
let last = Date.now();

const [epochs = 2, workers = 2, seed = 1] = process.argv.slice(2).map(Number);
const data = { train: await loadDataset('fashion-mnist', 'train'), test: await loadDataset('fashion-mnist', 'test') };
const { history, speed, parameters, executor } = await train(buildModel(reference, seed), data, {
  ...{ epochs, workers, seed },
  optimizer: { weightDecay: 5e-4 },
  onProgress({ step, steps, loss, imagesPerSecond, eta }) {
    if (Date.now() - last < REPORT_MS) return;
    last = Date.now();
    const speed = `${imagesPerSecond.toFixed(0)} images/s, ${eta.toFixed(0)} s left`;
    process.stderr.write(`step ${step} of ${steps}, loss ${loss.toFixed(3)}, ${speed}\n`);
  },
  onEpoch: (report) => process.stderr.write(`${JSON.stringify(report)}\n`),
});
console.log(JSON.stringify({ epochs, workers, seed, executor, parameters, ...speed, history }));
