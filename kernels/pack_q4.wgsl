// blocks of 32 numbers of x: scale = −m/8, m the first of the greatest magnitude,
// q = round half to even(x/scale) ≤ 7
// 0 w [rows n/8] words of eight q, then [rows n/32] scales, write | 1 x [rows n] read
// p {blocks, offset of x, words of q, first block of w}      256 threads, a block each
struct P { n: u32, xo: u32, words: u32, lo: u32 }
@group(0) @binding(0) var<storage, read_write> w_: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<uniform> p: P;
{{template "linear"}}
{{template "ratio"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i >= p.n) { return; }
  let at = p.xo + i * 32u;
  var top = 0.0;
  for (var k = 0u; k < 32u; k = k + 1u) {
    let v = x[at + k];
    if (abs(v) > abs(top)) { top = v; }
  }
  let scale = top * -0.125;
  w_[p.words + p.lo + i] = bitcast<u32>(scale);
  for (var j = 0u; j < 4u; j = j + 1u) {
    var word = 0u;
    if (scale != 0.0) {
      for (var k = 0u; k < 8u; k = k + 1u) {
        let q = i32(clamp(round(ratio(x[at + j * 8u + k], scale)), -8.0, 7.0));
        word = word | ((bitcast<u32>(q) & 15u) << (k * 4u));
      }
    }
    w_[(p.lo + i) * 4u + j] = word;
  }
}
