// ids[t] = the least j with x[t,j] = max; NaN never wins
// 0 ids [T] write | 1 x [T n] read, as bits, since a compiler may take NaN for impossible
// p {T, n, offsets}      256 threads to a row
struct P { rows: u32, n: u32, io: u32, xo: u32 }
@group(0) @binding(0) var<storage, read_write> ids: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<uniform> p: P;
var<workgroup> best: array<u32, 256>;
var<workgroup> place: array<u32, 256>;
// Bits in the order of the numbers, from 1 up; 0 for NaN; −0 counts as 0.
fn key(b: u32) -> u32 {
  if ((b & 0x7fffffffu) > 0x7f800000u) { return 0u; }
  if ((b >> 31u) == 0u) { return b | 0x80000000u; }
  if (b == 0x80000000u) { return b; }
  return ~b;
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let t = w.y * grid.x + w.x;
  if (t >= p.rows) { return; }
  var top = 0u;
  var at = 0u;
  for (var j = lane; j < p.n; j = j + 256u) {
    let k = key(x[p.xo + t * p.n + j]);
    if (k > top) {
      top = k;
      at = j;
    }
  }
  best[lane] = top;
  place[lane] = at;
  workgroupBarrier();
  for (var step = 128u; step > 0u; step = step >> 1u) {
    if (lane < step) {
      let k = best[lane + step];
      let j = place[lane + step];
      if ((k > best[lane]) || ((k == best[lane]) && (j < place[lane]))) {
        best[lane] = k;
        place[lane] = j;
      }
    }
    workgroupBarrier();
  }
  if (lane == 0u) { ids[p.io + t] = place[0]; }
}
