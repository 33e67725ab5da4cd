// w = the rounded rows of x: f32 as it is; f16, bf16 half to even, two a word; rows are padded with
// zeros to whole vec4
// 0 w [rows words] write | 1 x [rows n] read, as bits
// p {words in all, words of a row, n, offsets of x and w}
// 256 threads, a word each
struct P { n: u32, words: u32, cols: u32, xo: u32, wo: u32 }
@group(0) @binding(0) var<storage, read_write> w_: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<uniform> p: P;
{{template "linear"}}
{{template "f16"}}
fn at(row: u32, k: u32) -> u32 {
  if (k >= p.cols) { return 0u; }
  return x[p.xo + row * p.cols + k];
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i >= p.n) { return; }
  let row = i / p.words;
  let k = i - row * p.words;
{{- if eq .Type "f32"}}
  w_[p.wo + i] = at(row, k);
{{- else}}
  w_[p.wo + i] = to_{{.Type}}(at(row, k * 2u)) | (to_{{.Type}}(at(row, k * 2u + 1u)) << 16u);
{{- end}}
}
