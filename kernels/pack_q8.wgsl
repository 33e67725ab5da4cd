// blocks of 32 numbers of x: scale = max|x|/127, q = round half to even(x/scale)
// 0 w [rows n/4] words of four q, then [rows n/32] scales, write | 1 x [rows n] read
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
  for (var k = 0u; k < 32u; k = k + 1u) { top = max(top, abs(x[at + k])); }
  let scale = ratio(top, 127.0);
  w_[p.words + p.lo + i] = bitcast<u32>(scale);
  for (var j = 0u; j < 8u; j = j + 1u) {
    var word = 0u;
    if (scale > 0.0) {
      for (var k = 0u; k < 4u; k = k + 1u) {
        let q = i32(clamp(round(ratio(x[at + j * 4u + k], scale)), -127.0, 127.0));
        word = word | ((bitcast<u32>(q) & 0xffu) << (k * 8u));
      }
    }
    w_[(p.lo + i) * 8u + j] = word;
  }
}
