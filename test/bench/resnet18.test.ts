/** The network that the bench draws is ResNet-18. */
import { expect, test } from 'vitest';
import { resnet18 } from '../../bench/resnet18';
import { countMacs } from '../../src/packer/evaluate/cost';
import { importOnnx } from '../../src/packer/import/onnx/import';

test("bench resnet18: work, parameters and output are torchvision's", () => {
  const { graph } = importOnnx(resnet18());
  const products = graph.nodes.filter((node) => node.op.name === 'conv' || node.op.name === 'gemm');
  const costs = countMacs(graph, new Map());
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  expect(sum(products.map((node) => costs.get(node)!))).toBe(1_814_073_344);
  const weights = products.map((node) => node.inputs[1]!.type.shape.reduce<number>((n, d) => n * (d as number), 1));
  // Less the batch norms' 4800 scales and 4800 shifts, and the classifier's bias.
  expect(sum(weights)).toBe(11_689_512 - 9600 - 1000);
  expect(graph.outputs[0]!.value.type.shape).toEqual([1, 1000]);
});
