// part[b] = the largest |x[i]| of the block b of 8192 numbers, as bits: from 0x7f800000 on there is
// an infinity or NaN
// 0 part [blocks] write | 1 x [n] read, as bits, since a compiler may take NaN for impossible
// p {n, offset of x}      256 threads to a block
struct P { n: u32, xo: u32 }
@group(0) @binding(0) var<storage, read_write> part: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<uniform> p: P;
var<workgroup> top: array<u32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let b = w.y * grid.x + w.x;
  if (b * 8192u >= p.n) { return; }
  let end = min(p.n, b * 8192u + 8192u);
  var most = 0u;
  for (var i = b * 8192u + lane; i < end; i = i + 256u) {
    most = max(most, x[p.xo + i] & 0x7fffffffu);
  }
  top[lane] = most;
  workgroupBarrier();
  for (var step = 128u; step > 0u; step = step >> 1u) {
    if (lane < step) { top[lane] = max(top[lane], top[lane + step]); }
    workgroupBarrier();
  }
  if (lane == 0u) { part[b] = top[0]; }
}
