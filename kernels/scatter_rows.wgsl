// dst[ids[t]] = src[t]; ids are distinct, those outside are left out
// 0 dst [rows n] write | 1 src [T n] read | 2 ids [T] read | p {T·n, n, rows, offsets}
// 256 threads, a number each
struct P { n: u32, cols: u32, rows: u32, d_o: u32, so: u32, io: u32 }
@group(0) @binding(0) var<storage, read_write> dst: array<u32>;
@group(0) @binding(1) var<storage, read> src: array<u32>;
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
  if (id < p.rows) { dst[p.d_o + id * p.cols + i - t * p.cols] = src[p.so + i]; }
}
