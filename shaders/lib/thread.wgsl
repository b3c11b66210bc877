// The number of an invocation, whose workgroups may be folded into rows of 65535 (runtime/webgpu/plan.ts).

@group(0) @binding(0) var<uniform> p: P;

fn thread(id: vec3u) -> u32 {
  return id.y * 4194240u + id.x;
}
