// x = the numbers of w as pack, pack_q8 and pack_q4 left them
// 0 x [rows n] write, as bits | 1 w read | p {rows·n, words of a row, n, offset of x, words of q}
// 256 threads, a number each
struct P { n: u32, words: u32, cols: u32, xo: u32, quants: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<storage, read> w_: array<u32>;
@group(0) @binding(2) var<uniform> p: P;
{{template "linear"}}
{{template "number" .}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i >= p.n) { return; }
  let row = i / p.cols;
  x[p.xo + i] = number(row, i - row * p.cols);
}
