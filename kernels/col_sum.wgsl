// d[j] += Σ_b part[b,j]
// 0 d [n] update | 1 part [blocks n] read | p {blocks, n, offset of d}
// 256 threads, a column each
struct P { blocks: u32, n: u32, d_o: u32 }
@group(0) @binding(0) var<storage, read_write> d: array<f32>;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<uniform> p: P;
{{template "linear"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let j = linear(w, grid, lane);
  if (j < p.n) {
    var s = 0.0;
    for (var b = 0u; b < p.blocks; b = b + 1u) { s = s + part[b * p.n + j]; }
    d[p.d_o + j] = d[p.d_o + j] + s;
  }
}
