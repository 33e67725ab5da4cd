// y[i] += x[i]
// 0 y [n] update | 1 x [n] read | p {n, offsets of y, x}      256 threads, a number each
struct P { n: u32, yo: u32, xo: u32 }
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<uniform> p: P;
{{template "linear"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i < p.n) { y[p.yo + i] = y[p.yo + i] + x[p.xo + i]; }
}
