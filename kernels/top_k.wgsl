// top[t] = the k largest numbers of x[t], in the order of their places; the first of equals, no NaN
// 0 top [T 2k] write: k places, and the bits of the numbers there; where a row has fewer, the places
// end with −1 | 1 part [T parts 2k] update | 2 x [T n] read, as bits | p {numbers of a row, k, offsets,
// numbers of a part, parts, whether the parts are to be joined}
// 256 threads to a part of a row. They find the k-th largest by its bits, eight at a time, and each
// writes what its share of the row has of the larger ones. Where a row has many parts, part gets
// what each of them has, and a second dispatch takes the largest of those
struct P { n: u32, k: u32, to: u32, xo: u32, size: u32, parts: u32, join: u32 }
@group(0) @binding(0) var<storage, read_write> top: array<u32>;
@group(0) @binding(1) var<storage, read_write> best: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<u32>;
@group(0) @binding(3) var<uniform> p: P;
var<workgroup> counts: array<atomic<u32>, 256>;
var<workgroup> above: array<u32, 256>;
var<workgroup> equal: array<u32, 256>;
var<workgroup> bound: array<u32, 2>;
{{template "key"}}
// The bits of number j of row t: of x, or of the numbers that the parts have.
fn bits(t: u32, j: u32) -> u32 {
  if (p.join == 0u) { return x[p.xo + t * p.n + j]; }
  return best[(t * p.parts + j / p.k) * 2u * p.k + p.k + j % p.k];
}
fn place(t: u32, j: u32) -> u32 {
  if (p.join == 0u) { return j; }
  return best[(t * p.parts + j / p.k) * 2u * p.k + j % p.k];
}
fn write(at: u32, i: u32, spot: u32, number: u32) {
  if ((p.parts > 1u) && (p.join == 0u)) {
    best[at + i] = spot;
    best[at + p.k + i] = number;
  } else {
    top[at + i] = spot;
    top[at + p.k + i] = number;
  }
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = w.x;
  let lo = w.y * p.size;
  let hi = min(p.n, lo + p.size);
  if (lane == 0u) {
    bound[0] = 0u;
    bound[1] = p.k;
  }
  for (var lap = 0u; lap < 4u; lap = lap + 1u) {
    let shift = 24u - 8u * lap;
    atomicStore(&counts[lane], 0u);
    workgroupBarrier();
    let found = bound[0];
    // All threads take each step: on lavapipe 22.3 what does an atomic in a branch stops there.
    for (var first = lo; first < hi; first = first + 256u) {
      let j = first + lane;
      var k = 0u;
      if (j < hi) { k = key(bits(t, j)); }
      let same = (lap == 0u) || ((k >> ((shift + 8u) % 32u)) == found);
      atomicAdd(&counts[(k >> shift) & 255u], select(0u, 1u, (k != 0u) && same));
    }
    workgroupBarrier();
    equal[lane] = atomicLoad(&counts[lane]);
    workgroupBarrier();
    if (lane == 0u) {
      var need = bound[1];
      var digit = 256u;
      for (var i = 256u; i > 0u; i = i - 1u) {
        let many = equal[i - 1u];
        if (digit == 256u) {
          if ((many >= need) || (i == 1u)) { digit = i - 1u; } else { need = need - many; }
        }
      }
      bound[0] = (found << 8u) | digit;
      bound[1] = need;
    }
    workgroupBarrier();
  }
  // Fewer than k numbers end at the key 0, which none has: all are above it.
  let least = bound[0];
  let share = (hi - lo + 255u) / 256u;
  let begin = lo + lane * share;
  let end = min(hi, begin + share);
  var larger = 0u;
  var same = 0u;
  for (var j = begin; j < end; j = j + 1u) {
    let k = key(bits(t, j));
    if (k > least) { larger = larger + 1u; }
    if ((k == least) && (k != 0u)) { same = same + 1u; }
  }
  above[lane] = larger;
  equal[lane] = same;
  workgroupBarrier();
  if (lane == 0u) { // how many this thread's predecessors have, and how many equals are still wanted
    var before = 0u;
    var need = bound[1];
    for (var i = 0u; i < 256u; i = i + 1u) {
      let taken = min(need, equal[i]);
      let both = above[i] + taken;
      equal[i] = taken;
      above[i] = before;
      need = need - taken;
      before = before + both;
    }
    bound[0] = before;
  }
  workgroupBarrier();
  var at = p.to + t * 2u * p.k;
  if ((p.parts > 1u) && (p.join == 0u)) { at = (t * p.parts + w.y) * 2u * p.k; }
  var next = above[lane];
  var left = equal[lane];
  for (var j = begin; j < end; j = j + 1u) {
    let number = bits(t, j);
    let k = key(number);
    let tie = (k == least) && (k != 0u) && (left > 0u);
    if (tie) { left = left - 1u; }
    if ((k > least) || tie) {
      write(at, next, place(t, j), number);
      next = next + 1u;
    }
  }
  for (var i = bound[0] + lane; i < p.k; i = i + 256u) { write(at, i, 0xffffffffu, 0x7fc00000u); }
}
