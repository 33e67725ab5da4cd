// y[t,j] = x[t,j]·r·g[j], r = 1/√(mean_j x[t,j]² + eps)
// 0 y [T n] write | 1 x [T n] read | 2 g [n] read | p {T, n, offsets, eps}
// 256 threads to a row
struct P { rows: u32, n: u32, yo: u32, xo: u32, go: u32, eps: f32 }
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<uniform> p: P;
{{template "reduce"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let t = w.y * grid.x + w.x;
  if (t >= p.rows) { return; }
  let at = p.xo + t * p.n;
  var s = 0.0;
  for (var j = lane; j < p.n; j = j + 256u) {
    let v = x[at + j];
    s = s + v * v;
  }
  let r = inverseSqrt(total(lane, s) / f32(p.n) + p.eps);
  let to = p.yo + t * p.n;
  for (var j = lane; j < p.n; j = j + 256u) { y[to + j] = x[at + j] * r * g[p.go + j]; }
}
