// y[i] = v, whatever bits v has
// 0 y [n] write | p {n, offset of y, v}      256 threads, a number each
struct P { n: u32, yo: u32, v: u32 }
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@group(0) @binding(1) var<uniform> p: P;
{{template "linear"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i < p.n) { y[p.yo + i] = p.v; }
}
