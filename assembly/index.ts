/**
 * The kernel ABI: every export below is a kernel, called with addresses and numbers, its last two arguments always
 * being the range [from, to) of rows to compute. Two binaries are built from this source, `base` (SIMD128) and
 * `relaxed`; `ASC_FEATURE_RELAXED_SIMD` tells them apart.
 *
 * Contracts that hold for all: tensors are dense; addresses are 16-byte aligned unless a kernel says otherwise; a
 * kernel may read up to 64 bytes past the end of an operand and never writes past it; the output overlaps an input
 * only where the operator is declared in-place. Quantised activations (`i8_`) live in memory as level + 128.
 */

/** First byte of linear memory that static data does not use. */
export const heapBase: usize = __heap_base;
export { f32_steps } from './steps';
export * from './move';
export * from './pool';
export { i8_packCodes } from './codes';
export { f32_conv, i8_conv, i8_conv as i8_convTernary, i8_conv as i8_convInt4, i8_conv as i8_convTable } from './conv';
export { f32_depthwise, i8_depthwise, i8_packDepthwise } from './depthwise';
export { i8_pack, i8_panels } from './dot';
export { f32_gemm, f32_pack, i8_gemm, i8_gemm as i8_gemmTernary, i8_gemm as i8_gemmInt4, i8_gemm as i8_gemmTable } from './gemm';
export { f32_matmul } from './matmul';
export { cast, f32_binary, f32_compare, f32_select, i32_binary, i32_compare, i8_add, i8_mul, u8_logic, u8_select } from './elementwise';
export { f32_quantize, i8_dequantize, i8_table } from './quantize';
export { f32_softmax } from './softmax';
export { f32_layerNorm } from './layerNorm';
export { f32_reduce, i8_reduce } from './reduce';
export { f32_argmax, i8_argmax } from './argmax';
export { u8_crc32 } from './crc';
export { u8_expand, u8_rans } from './rans';
export { f32_cumsum, i32_cumsum } from './cumsum';
export { f32_resizeLinear, i8_resizeLinear, linearTable, nearestTable, x8_resizeNearest } from './resize';
export { f32_packWinograd, f32_winograd } from './winograd';
export { f32_binaryConv, f32_signs, i8_packBits } from './binaryConv';
