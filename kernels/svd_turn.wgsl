// r[q] = the rotations J₁J₂… of cyclic Jacobi, which make Jᵀ·G·J diagonal, G = Σ_s g[s,q] [64 64],
// larger diagonals first; worst[q] = max(that, the largest |G(i,j)|/(|i||j|), i ≠ j) before, with
// |i| = max(√G(i,i), floor); turns[q] = whether that exceeds tol, as it must for anything to be done
// 0 r [pairs 64 64] write | 1 worst [pairs] update | 2 turns [pairs] write
// 3 log [pairs cycles 63 32] update: the rotations | 4 g [ranges pairs 64 64] read
// p {pairs, ranges, cycles at most, tol, cosine that is worth a rotation, floor}      256 threads to a pair
// A rotation keeps s and τ = s/(1+c): x' = x − s(y+τx), y' = y + s(x−τy), whose rounding errors
// shrink with s; opposite signs of s and τ say that x' and y' change places.
struct P { pairs: u32, ranges: u32, cycles: u32, tol: f32, least: f32, floor: f32 }
@group(0) @binding(0) var<storage, read_write> r: array<f32>;
@group(0) @binding(1) var<storage, read_write> worst: array<f32>;
@group(0) @binding(2) var<storage, read_write> turns: array<u32>;
@group(0) @binding(3) var<storage, read_write> log_: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> g: array<f32>;
@group(0) @binding(5) var<uniform> p: P;
{{template "tournament"}}
{{template "reduce"}}
{{template "largest"}}
// What is above G's diagonal; afterwards 32 rows of r, transposed.
var<workgroup> m: array<f32, 2048>;
var<workgroup> diagonal: array<f32, 64>;
var<workgroup> sines: array<f32, 32>;
var<workgroup> halves: array<f32, 32>;
var<workgroup> busy: u32;
// The place of G(i,j), i < j: row i lies with row 62−i in 64 numbers.
fn place(i: u32, j: u32) -> u32 {
  if (i < 32u) { return i * 63u + j - 1u; }
  return (62u - i) * 64u + j;
}
fn either(i: u32, j: u32) -> u32 { return place(min(i, j), max(i, j)); }
// Two numbers after a rotation.
fn turned(v: vec2<f32>, s: f32, h: f32) -> vec2<f32> {
  if ((s < 0.0) != (h < 0.0)) {
    return vec2<f32>(v.y - s * (v.x - h * v.y), v.x + s * (v.y + h * v.x));
  }
  return vec2<f32>(v.x - s * (v.y + h * v.x), v.y + s * (v.x - h * v.y));
}
fn size(i: u32) -> f32 { return max(sqrt(max(diagonal[i], 0.0)), p.floor); }
// Rotates pair i of a lap and says how.
fn rotate(i: u32, lap: u32) {
  let q = meet(i, lap, 64u);
  let at = place(q.x, q.y);
  let v = m[at];
  var s = 0.0;
  var h = 0.0;
  if (abs(v) > p.least * size(q.x) * size(q.y)) {
    let a = diagonal[q.x];
    let b = diagonal[q.y];
    let z = (b - a) / (2.0 * v);
    let far = min(abs(z), 1e15);
    var t = 1.0 / (far + sqrt(1.0 + far * far));
    if (z < 0.0) { t = -t; }
    h = t / (1.0 + sqrt(1.0 + t * t));
    s = 2.0 * h / (1.0 + h * h);
    diagonal[q.x] = a - t * v;
    diagonal[q.y] = b + t * v;
    if (b > a) {
      diagonal[q.x] = b + t * v;
      diagonal[q.y] = a - t * v;
      s = -s;
    }
    m[at] = 0.0;
    busy = 1u;
  }
  sines[i] = s;
  halves[i] = h;
}
// The four numbers of G where the pairs i and j meet.
fn join(i: u32, j: u32, lap: u32) {
  let a = meet(i, lap, 64u);
  let b = meet(j, lap, 64u);
  let xx = either(a.x, b.x);
  let xy = either(a.x, b.y);
  let yx = either(a.y, b.x);
  let yy = either(a.y, b.y);
  let u = turned(vec2<f32>(m[xx], m[yx]), sines[i], halves[i]);
  let v = turned(vec2<f32>(m[xy], m[yy]), sines[i], halves[i]);
  let x = turned(vec2<f32>(u.x, v.x), sines[j], halves[j]);
  let y = turned(vec2<f32>(u.y, v.y), sines[j], halves[j]);
  m[xx] = x.x;
  m[xy] = x.y;
  m[yx] = y.x;
  m[yy] = y.y;
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  for (var e = lane; e < 4096u; e = e + 256u) {
    let i = e / 64u;
    let j = e % 64u;
    if (i <= j) {
      var v = 0.0;
      for (var part = 0u; part < p.ranges; part = part + 1u) {
        v = v + g[(part * p.pairs + w.x) * 4096u + e];
      }
      if (i == j) { diagonal[i] = v; } else { m[place(i, j)] = v; }
    }
  }
  workgroupBarrier();
  var high = 0.0;
  for (var e = lane; e < 4096u; e = e + 256u) {
    let i = e / 64u;
    let j = e % 64u;
    if (i < j) { high = max(high, abs(m[place(i, j)]) / (size(i) * size(j))); }
  }
  high = largest(lane, high);
  if (lane == 0u) {
    worst[w.x] = max(worst[w.x], high);
    turns[w.x] = select(0u, 1u, high > p.tol);
    busy = select(0u, 1u, high > p.tol);
  }
  workgroupBarrier();
  if (workgroupUniformLoad(&busy) == 0u) { return; }
  let base = w.x * p.cycles * 2016u;
  var cycle = 0u;
  while (cycle < p.cycles) {
    if (lane == 0u) { busy = 0u; }
    workgroupBarrier();
    for (var lap = 0u; lap < 63u; lap = lap + 1u) {
      if (lane < 32u) {
        rotate(lane, lap);
        log_[base + cycle * 2016u + lap * 32u + lane] = vec2<f32>(sines[lane], halves[lane]);
      }
      workgroupBarrier();
      for (var e = lane; e < 496u; e = e + 256u) {
        join(e % 32u, (e % 32u + e / 32u + 1u) % 32u, lap);
      }
      workgroupBarrier();
    }
    cycle = cycle + 1u;
    if (workgroupUniformLoad(&busy) == 0u) { break; }
  }
  storageBarrier();
  workgroupBarrier();
  // The same rotations on the rows of the identity, 32 of them at once, 8 threads to a row.
  for (var top = 0u; top < 64u; top = top + 32u) {
    for (var e = lane; e < 2048u; e = e + 256u) {
      m[e] = select(0.0, 1.0, e / 32u == top + e % 32u);
    }
    workgroupBarrier();
    for (var n = 0u; n < cycle * 63u; n = n + 1u) {
      for (var i = lane / 32u; i < 32u; i = i + 8u) {
        let q = meet(i, n % 63u, 64u);
        let j = log_[base + n * 32u + i];
        let x = q.x * 32u + lane % 32u;
        let y = q.y * 32u + lane % 32u;
        let v = turned(vec2<f32>(m[x], m[y]), j.x, j.y);
        m[x] = v.x;
        m[y] = v.y;
      }
      workgroupBarrier();
    }
    for (var e = lane; e < 2048u; e = e + 256u) {
      r[w.x * 4096u + (top + e / 64u) * 64u + e % 64u] = m[(e % 64u) * 32u + e / 64u];
    }
    workgroupBarrier();
  }
}
