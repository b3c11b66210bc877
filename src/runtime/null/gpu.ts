/** What is wrong with a plan's dispatches, found with no GPU: WebGPU's own rules, and what a shader's text declares. */
import { type GpuCall, type GpuPlan, MOST_GROUPS, OFFSET, WORKGROUP } from '../webgpu/plan';

/** Of GPUSupportedLimits, what a dispatch can exceed. */
export interface GpuLimits {
  maxStorageBuffersPerShaderStage: number;
  maxStorageBufferBindingSize: number;
  maxUniformBufferBindingSize: number;
  maxBufferSize: number;
  maxComputeInvocationsPerWorkgroup: number;
  maxComputeWorkgroupSizeX: number;
  maxComputeWorkgroupStorageSize: number;
  maxComputeWorkgroupsPerDimension: number;
}

/** What devices of each feature level have at least (WebGPU, "Limits"; measured on Chromium's GLES adapter). */
export const LIMITS: Readonly<Record<'core' | 'compatibility', GpuLimits>> = {
  core: {
    maxStorageBuffersPerShaderStage: 8,
    maxStorageBufferBindingSize: 2 ** 27,
    maxUniformBufferBindingSize: 2 ** 16,
    maxBufferSize: 2 ** 28,
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupSizeX: 256,
    maxComputeWorkgroupStorageSize: 2 ** 14,
    maxComputeWorkgroupsPerDimension: 65535,
  },
  compatibility: {
    maxStorageBuffersPerShaderStage: 8,
    maxStorageBufferBindingSize: 2 ** 27,
    maxUniformBufferBindingSize: 2 ** 14,
    maxBufferSize: 2 ** 28,
    maxComputeInvocationsPerWorkgroup: 128,
    maxComputeWorkgroupSizeX: 128,
    maxComputeWorkgroupStorageSize: 2 ** 14,
    maxComputeWorkgroupsPerDimension: 65535,
  },
};

/** One line for each fault. `textOf` gives the specialised text of a call's shader. */
export function faultsOf(plan: GpuPlan, limits: GpuLimits, textOf: (call: GpuCall) => string): string[] {
  const pools = plan.pools.flatMap((bytes, i) => (bytes > limits.maxBufferSize ? [`pool ${i} has ${bytes} bytes`] : []));
  const calls = plan.nodes.flatMap((n) => n.calls);
  return [
    ...pools,
    ...calls.flatMap((call) =>
      faultsOfCall(call, plan, limits, textOf(call)).map((fault) => `${call.dispatch.shader}: ${fault}`),
    ),
  ];
}

function faultsOfCall(
  { dispatch, reads, writes, uniforms, groups }: GpuCall,
  plan: GpuPlan,
  limits: GpuLimits,
  text: string,
): string[] {
  const faults: string[] = [];
  const expect = (right: boolean, fault: string) => void (right || faults.push(fault));
  const buffers = reads.length + writes.length;
  expect(buffers <= limits.maxStorageBuffersPerShaderStage, `${buffers} storage buffers`);
  expect(4 * uniforms.length <= Math.min(OFFSET, limits.maxUniformBufferBindingSize), `${uniforms.length} uniforms`);
  expect(
    uniforms.every((word, i) => i > 0 || word === dispatch.threads),
    `${dispatch.threads} threads do not fit a word`,
  );
  for (const x of dispatch.uniforms) expect(Number.isFinite(typeof x === 'number' ? x : 0), `uniform ${JSON.stringify(x)}`);
  for (const x of dispatch.uniforms)
    if (typeof x === 'number') expect(Number.isInteger(x) && x >= -(2 ** 31) && x < 2 ** 32, `uniform ${x} is no 32-bit integer`);
  for (const place of [...reads, ...writes]) {
    expect(place.bytes > 0 && place.bytes % 4 === 0, `a binding of ${place.bytes} bytes`);
    expect(place.bytes <= limits.maxStorageBufferBindingSize, `a binding of ${place.bytes} bytes is too large`);
    if ('resident' in place) continue;
    expect(place.offset % OFFSET === 0, `a binding at ${place.offset}`);
    expect(place.offset + place.bytes <= plan.pools[place.pool]!, `a binding beyond the end of pool ${place.pool}`);
  }
  for (const y of writes) {
    expect('pool' in y, 'writes to a constant');
    for (const x of reads) expect(!('pool' in x && 'pool' in y && x.pool === y.pool), 'reads from the pool that it writes to');
  }
  const [x, y] = groups;
  expect(x * y * WORKGROUP >= dispatch.threads, `${x} x ${y} groups for ${dispatch.threads} threads`);
  expect(Math.max(x, y) <= Math.min(MOST_GROUPS, limits.maxComputeWorkgroupsPerDimension), `${x} x ${y} groups`);
  return [...faults, ...faultsOfText(text, reads.length, writes.length, uniforms.length, limits)];
}

/** Whether a text declares the bindings and uniforms that it is given, and keeps to the limits. */
function faultsOfText(text: string, reads: number, writes: number, uniforms: number, limits: GpuLimits): string[] {
  const faults: string[] = [];
  const expect = (right: boolean, fault: string) => void (right || faults.push(fault));
  const bindings = [...text.matchAll(/@binding\((\d+)\)\s*var<(uniform|storage,\s*read|storage,\s*read_write)>/g)];
  const kinds = new Map(bindings.map(([, at, kind]) => [Number(at), kind!.replace(/\s/g, '')]));
  const wanted = ['uniform', ...Array(reads).fill('storage,read'), ...Array(writes).fill('storage,read_write')];
  expect(bindings.length === kinds.size && kinds.size === wanted.length, `${kinds.size} bindings for ${wanted.length} buffers`);
  wanted.forEach((kind, at) => expect(kinds.get(at) === kind, `binding ${at} is ${kinds.get(at)}, not ${kind}`));
  const block = text.match(/struct P\s*\{([^}]*)\}/)?.[1] ?? '';
  const fields = block.split(/[,\n]/).filter((field) => field.trim());
  expect(fields.length === uniforms, `${fields.length} uniforms declared for ${uniforms} numbers`);
  expect(
    fields.every((field) => /:\s*(u32|i32|f32)\s*$/.test(field)),
    'the uniform block holds more than plain numbers',
  );
  const size = Number(text.match(/@workgroup_size\((\d+)\)/)?.[1]);
  expect(size === WORKGROUP, `workgroups of ${size}`);
  expect(size <= Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX), `workgroups of ${size}`);
  return faults;
}
