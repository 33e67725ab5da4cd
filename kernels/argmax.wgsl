// ids[t] = the least j with x[t,j] = max; NaN never wins
// 0 ids [T] write | 1 best [T parts 2] update | 2 x [T n] read, as bits, since a compiler may take
// NaN for impossible | p {T, n, offsets, numbers of a part, parts, whether best is to be joined}
// 256 threads to a part of a row; where a row has many, best gets their keys and places, and a
// second dispatch joins those
struct P { rows: u32, n: u32, io: u32, xo: u32, size: u32, parts: u32, join: u32 }
@group(0) @binding(0) var<storage, read_write> ids: array<u32>;
@group(0) @binding(1) var<storage, read_write> best: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<u32>;
@group(0) @binding(3) var<uniform> p: P;
var<workgroup> keys: array<u32, 256>;
var<workgroup> places: array<u32, 256>;
{{template "key"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = w.x;
  var top = 0u;
  var at = 0u;
  if (p.join != 0u) {
    for (var j = lane; j < p.parts; j = j + 256u) {
      let k = best[2u * (t * p.parts + j)];
      if (k > top) {
        top = k;
        at = best[2u * (t * p.parts + j) + 1u];
      }
    }
  } else {
    let end = min(p.n, (w.y + 1u) * p.size);
    for (var j = w.y * p.size + lane; j < end; j = j + 256u) {
      let k = key(x[p.xo + t * p.n + j]);
      if (k > top) {
        top = k;
        at = j;
      }
    }
  }
  keys[lane] = top;
  places[lane] = at;
  workgroupBarrier();
  for (var step = 128u; step > 0u; step = step >> 1u) {
    if (lane < step) {
      let k = keys[lane + step];
      let j = places[lane + step];
      if ((k > keys[lane]) || ((k == keys[lane]) && (j < places[lane]))) {
        keys[lane] = k;
        places[lane] = j;
      }
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    if ((p.parts > 1u) && (p.join == 0u)) {
      best[2u * (t * p.parts + w.y)] = keys[0];
      best[2u * (t * p.parts + w.y) + 1u] = places[0];
    } else {
      ids[p.io + t] = places[0];
    }
  }
}
