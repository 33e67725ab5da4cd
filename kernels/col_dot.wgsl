// part[b,j] = Σ_t a[t,j]·b[t,j]·r[t] over the block b of 256 rows, or d[j] += that where there is
// one block; r[t] = 1 where it is not given
// 0 d [blocks n] update | 1 a [T n] read | 2 b [T n] read | 3 r [T] read
// p {T, n, offsets, whether to add, whether r is given}
// 64 columns × 4 threads, a block of rows
struct P { rows: u32, n: u32, d_o: u32, ao: u32, bo: u32, acc: u32, given: u32 }
@group(0) @binding(0) var<storage, read_write> d: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> r: array<f32>;
@group(0) @binding(4) var<uniform> p: P;
var<workgroup> red: array<f32, 256>;
@compute @workgroup_size(64, 4)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) l: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let j = w.x * 64u + l.x;
  var s = 0.0;
  if (j < p.n) {
    let end = min(p.rows, w.y * 256u + 256u);
    for (var t = w.y * 256u + l.y; t < end; t = t + 4u) {
      var v = a[p.ao + t * p.n + j] * b[p.bo + t * p.n + j];
      if (p.given != 0u) { v = v * r[t]; }
      s = s + v;
    }
  }
  red[lane] = s;
  workgroupBarrier();
  if ((l.y == 0u) && (j < p.n)) {
    let sum = (red[lane] + red[lane + 64u]) + (red[lane + 128u] + red[lane + 192u]);
    let at = p.d_o + w.y * p.n + j;
    if (p.acc != 0u) { d[at] = d[at] + sum; } else { d[at] = sum; }
  }
}
