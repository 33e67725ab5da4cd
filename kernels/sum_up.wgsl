// sum[0] += Σ_b part[b]
// 0 sum [1] update | 1 part [n] read | p {n, offset of sum}      256 threads
struct P { n: u32, so: u32 }
@group(0) @binding(0) var<storage, read_write> sum: array<f32>;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<uniform> p: P;
{{template "reduce"}}
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
  var s = 0.0;
  for (var i = lane; i < p.n; i = i + 256u) { s = s + part[i]; }
  s = total(lane, s);
  if (lane == 0u) { sum[p.so] = sum[p.so] + s; }
}
