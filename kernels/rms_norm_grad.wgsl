// dx[t,j] += r·(u[t,j] − x[t,j]·r²·mean_i(u[t,i]·x[t,i])), u = dy∘g, r as in rms_norm
// rs[t] = r, for the gradient of g
// 0 dx [T n] update | 1 rs [T] write | 2 dy [T n] read | 3 x [T n] read | 4 g [n] read
// p {T, n, offsets, eps}      256 threads to a row
struct P { rows: u32, n: u32, dxo: u32, dyo: u32, xo: u32, go: u32, eps: f32 }
@group(0) @binding(0) var<storage, read_write> dx: array<f32>;
@group(0) @binding(1) var<storage, read_write> rs: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> g: array<f32>;
@group(0) @binding(5) var<uniform> p: P;
{{template "reduce"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let t = w.y * grid.x + w.x;
  if (t >= p.rows) { return; }
  let row = t * p.n;
  var s = 0.0;
  var m = 0.0;
  for (var j = lane; j < p.n; j = j + 256u) {
    let v = x[p.xo + row + j];
    s = s + v * v;
    m = m + dy[p.dyo + row + j] * g[p.go + j] * v;
  }
  let r = inverseSqrt(total(lane, s) / f32(p.n) + p.eps);
  let pull = total(lane, m) / f32(p.n) * r * r;
  for (var j = lane; j < p.n; j = j + 256u) {
    let u = dy[p.dyo + row + j] * g[p.go + j];
    dx[p.dxo + row + j] = dx[p.dxo + row + j] + r * (u - x[p.xo + row + j] * pull);
  }
  if (lane == 0u) { rs[t] = r; }
}
