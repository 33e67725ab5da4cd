// dtable[ids[t]] += dy[t], in the order of t; ids outside are left out
// 0 dtable [rows n] update | 1 dy [T n] read | 2 ids [T] read | p {T, n, rows, offsets}
// 256 threads, a column each: the order of a sum is part of the op
struct P { count: u32, cols: u32, rows: u32, d_o: u32, yo: u32, io: u32 }
@group(0) @binding(0) var<storage, read_write> d: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<uniform> p: P;
{{template "linear"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let j = linear(w, grid, lane);
  if (j >= p.cols) { return; }
  for (var t = 0u; t < p.count; t = t + 1u) {
    let id = ids[p.io + t];
    if (id < p.rows) {
      let at = p.d_o + id * p.cols + j;
      d[at] = d[at] + dy[p.yo + t * p.cols + j];
    }
  }
}
