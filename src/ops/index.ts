/** The registry of operators. */
import { nearest, WaferError } from '../core/errors';
import * as argmax from './argmax';
import * as binary from './binary';
import * as binaryConv from './binaryConv';
import * as cast from './cast';
import * as concat from './concat';
import * as conv from './conv';
import * as cumsum from './cumsum';
import type { Offline, Op } from './define';
import * as dequantize from './dequantize';
import * as expand from './expand';
import * as gather from './gather';
import * as gemm from './gemm';
import * as layerNorm from './layerNorm';
import * as matmul from './matmul';
import * as pad from './pad';
import * as pool from './pool';
import * as quantize from './quantize';
import * as reduce from './reduce';
import * as reshape from './reshape';
import * as resize from './resize';
import * as select from './select';
import * as slice from './slice';
import * as softmax from './softmax';
import * as table from './table';
import * as transpose from './transpose';
import * as unary from './unary';

/** Operator codes as stored in a `.wafer` file. Append only; a code is never reused. */
export const OPS: Readonly<Record<number, Op>> = {
  1: conv.op,
  3: gemm.op,
  4: matmul.op,
  5: unary.op,
  6: binary.op,
  7: select.op,
  8: cast.op,
  9: quantize.op,
  10: dequantize.op,
  11: table.op,
  12: softmax.op,
  13: layerNorm.op,
  14: reduce.op,
  15: pool.op,
  16: resize.op,
  17: transpose.op,
  18: reshape.op,
  19: slice.op,
  20: concat.op,
  21: pad.op,
  22: expand.op,
  23: gather.op,
  24: argmax.op,
  25: cumsum.op,
  26: binaryConv.op,
};

/** What the packer and the tests know besides, by the same codes. Never named by the runtime, so no bundle carries it. */
export const OFFLINE: Readonly<Record<number, Offline>> = {
  1: conv.offline,
  3: gemm.offline,
  4: matmul.offline,
  5: unary.offline,
  6: binary.offline,
  7: select.offline,
  8: cast.offline,
  9: quantize.offline,
  10: dequantize.offline,
  11: table.offline,
  12: softmax.offline,
  13: layerNorm.offline,
  14: reduce.offline,
  15: pool.offline,
  16: resize.offline,
  17: transpose.offline,
  18: reshape.offline,
  19: slice.offline,
  20: concat.offline,
  21: pad.offline,
  22: expand.offline,
  23: gather.offline,
  24: argmax.offline,
  25: cumsum.offline,
  26: binaryConv.offline,
};

const BY_NAME = new Map(Object.entries(OPS).map(([code, op]) => [op.name, { op, code: Number(code) }]));

/** Throws UNSUPPORTED. */
export function opNamed(name: string): Op {
  const found = BY_NAME.get(name);
  if (!found) {
    const near = nearest(name, BY_NAME.keys());
    throw new WaferError('UNSUPPORTED', `no operator "${name}"`, near ? { hint: `did you mean "${near}"?` } : {});
  }
  return found.op;
}

export const opCode = (op: Op): number => BY_NAME.get(op.name)!.code;
