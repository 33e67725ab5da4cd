// y[t] = table[ids[t]]; an id outside the table gives a row of zeros
// 0 y [T n] write | 1 table [rows n] read | 2 ids [T] read | p {T·n, n, rows, offsets}
// 256 threads, a number each
struct P { n: u32, cols: u32, rows: u32, yo: u32, to: u32, io: u32 }
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<uniform> p: P;
{{template "linear"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i >= p.n) { return; }
  let t = i / p.cols;
  let id = ids[p.io + t];
  var v = 0u;
  if (id < p.rows) { v = table[p.to + id * p.cols + i - t * p.cols]; }
  y[p.yo + i] = v;
}
