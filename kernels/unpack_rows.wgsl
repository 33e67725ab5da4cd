// y[t] = row ids[t] of a weight, where the part w of it has that row; zeros where no part has
// 0 y [T n] write, as bits | 1 w [rows n] read, as pack left it | 2 ids [T] read
// p {T·n, words of a row, n, words of q, first row of the part, its rows, rows of all, offsets}
// 256 threads, a number each
struct P { n: u32, words: u32, cols: u32, quants: u32, lo: u32, rows: u32, all_: u32, yo: u32,
  io: u32 }
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@group(0) @binding(1) var<storage, read> w_: array<u32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<uniform> p: P;
{{template "linear"}}
{{template "number" .}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i >= p.n) { return; }
  let t = i / p.cols;
  let id = ids[p.io + t];
  if (id >= p.all_) {
    y[p.yo + i] = 0u;
    return;
  }
  let row = id - p.lo;
  if (row < p.rows) { y[p.yo + i] = number(row, i - t * p.cols); }
}
