// found[i] = {√(Σ_k x(i,k)²), the sign of the first of b(i,·) that has the largest magnitude, ties
// within 1e-6 of it counted}
// 0 found [vectors 2] write | 1 z, rows x(i,·) b(i,·), read
// p {row of z, numbers of x, start and numbers of b}
// 256 threads to a row
struct P { ldz: u32, k: u32, bo: u32, n: u32 }
@group(0) @binding(0) var<storage, read_write> found: array<f32>;
@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<uniform> p: P;
{{template "reduce"}}
{{template "largest"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = w.x * p.ldz;
  var s = 0.0;
  for (var k = lane; k < p.k; k = k + 256u) { s = fma(z[row + k], z[row + k], s); }
  s = total(lane, s);
  var top = 0.0;
  for (var k = lane; k < p.n; k = k + 256u) { top = max(top, abs(z[row + p.bo + k])); }
  top = largest(lane, top) * 0.999999;
  // The first is the largest −k, which f32 holds exactly.
  var first = -16777216.0;
  for (var k = lane; k < p.n; k = k + 256u) {
    if (abs(z[row + p.bo + k]) >= top) { first = max(first, -f32(k)); }
  }
  first = largest(lane, first);
  if (lane == 0u) {
    found[2u * w.x] = sqrt(s);
    let k = min(u32(-first), p.n - 1u);
    found[2u * w.x + 1u] = select(1.0, -1.0, z[row + p.bo + k] < 0.0);
  }
}
