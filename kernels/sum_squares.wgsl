// part[b] = Σ x[i]² over the block b of 8192 numbers
// 0 part [blocks] write | 1 x [n] read | p {n, offset of x}      256 threads to a block
struct P { n: u32, xo: u32 }
@group(0) @binding(0) var<storage, read_write> part: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<uniform> p: P;
{{template "reduce"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let b = w.y * grid.x + w.x;
  if (b * 8192u >= p.n) { return; }
  let end = min(p.n, b * 8192u + 8192u);
  var s = 0.0;
  for (var i = b * 8192u + lane; i < end; i = i + 256u) {
    let v = x[p.xo + i];
    s = s + v * v;
  }
  s = total(lane, s);
  if (lane == 0u) { part[b] = s; }
}
