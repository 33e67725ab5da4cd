// x = the numbers of w as pack, pack_q8 and pack_q4 left them
// 0 x [rows n] write, as bits | 1 w read | p {rows·n, words of a row, n, offset of x, words of q}
// 256 threads, a number each
struct P { n: u32, words: u32, cols: u32, xo: u32, quants: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<storage, read> w_: array<u32>;
@group(0) @binding(2) var<uniform> p: P;
{{template "linear"}}
{{template "f16"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i >= p.n) { return; }
  let row = i / p.cols;
  let k = i - row * p.cols;
{{- if eq .Type "f32"}}
  x[p.xo + i] = w_[row * p.words + k];
{{- else if eq .Type "q8"}}
  let q = unpack4xI8(w_[i / 4u])[i % 4u];
  x[p.xo + i] = bitcast<u32>(bitcast<f32>(w_[p.quants + i / 32u]) * f32(q));
{{- else if eq .Type "q4"}}
  let q = extractBits(bitcast<i32>(w_[i / 8u]), 4u * (i % 8u), 4u);
  x[p.xo + i] = bitcast<u32>(bitcast<f32>(w_[p.quants + i / 32u]) * f32(q));
{{- else}}
  let bits = (w_[row * p.words + k / 2u] >> ((k & 1u) * 16u)) & 0xffffu;
{{- if eq .Type "f16"}}
  x[p.xo + i] = from_f16(bits);
{{- else}}
  x[p.xo + i] = bits << 16u;
{{- end}}
{{- end}}
}
