// y[t,j] = x[t,j]·z[r(t),j], r(t) = rows[t], or 0 where rows are not given      y may be x
// 0 y [T n] write | 1 x [T n] read | 2 z [S n] read | 3 rows [T] read
// p {T·n, n, offsets, whether rows are given}      256 threads, a number each
struct P { n: u32, cols: u32, yo: u32, xo: u32, zo: u32, ro: u32, given: u32 }
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> z: array<f32>;
@group(0) @binding(3) var<storage, read> rows: array<u32>;
@group(0) @binding(4) var<uniform> p: P;
{{template "linear"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i < p.n) {
    let t = i / p.cols;
    var r = 0u;
    if (p.given != 0u) { r = rows[p.ro + t]; }
    y[p.yo + i] = x[p.xo + i] * z[p.zo + r * p.cols + i - t * p.cols];
  }
}
