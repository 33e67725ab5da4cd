// r[q] = the rotations J₁J₂… of cyclic Jacobi, which make Jᵀ·G·J diagonal, G = Σ_s g[s,q] [64 64],
// larger diagonals first; worst[q] = max(that, the largest |G(i,j)|/(|i||j|), i ≠ j) before, with
// |i| = max(√G(i,i), floor); turns[q] = whether that exceeds tol, as it must for r to be written
// 0 r [pairs 64 64] write | 1 worst [pairs] update | 2 turns [pairs] write
// 3 log [pairs cycles 63 32] update: the rotations | 4 g [ranges pairs 64 64] read
// p {pairs, ranges, cycles at most, tol, square of a cosine that is worth a rotation, of the floor}
// 256 threads to a pair
//
// A rotation keeps s and h = s/(1+c): x' = x − s(y+hx), y' = y + s(x−hy), whose rounding errors
// shrink with s; opposite signs of s and h say that x' and y' change places.
struct P { pairs: u32, ranges: u32, cycles: u32, tol: f32, least: f32, floor: f32 }
@group(0) @binding(0) var<storage, read_write> r: array<f32>;
@group(0) @binding(1) var<storage, read_write> worst: array<f32>;
@group(0) @binding(2) var<storage, read_write> turns: array<u32>;
@group(0) @binding(3) var<storage, read_write> log_: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> p: P;
{{template "reduce"}}
{{template "largest"}}
// What is above G's diagonal; afterwards 32 rows of r, transposed.
var<workgroup> m: array<f32, 2048>;
var<workgroup> diagonal: array<f32, 64>;
var<workgroup> sines: array<f32, 32>;
var<workgroup> halves: array<f32, 32>;
var<workgroup> busy: u32;
// Where the one of each of these rows lies, in this lap and in the next.
var<workgroup> ones: array<u32, 64>;
// The place of G(i,j), i ≠ j, the smaller being its row: row i lies with row 62−i in 64 numbers.
fn place(i: u32, j: u32) -> u32 {
  let row = min(i, j);
  let column = max(i, j);
  return select((62u - row) * 64u + column, row * 63u + column - 1u, row < 32u);
}
// Pair i of a lap, 63 of which let each of 64 meet every other once: at first, and in the next lap.
fn meet(i: u32) -> vec2<u32> { return vec2<u32>(i, 63u - i); }
fn later(x: u32) -> u32 { return select(x + 1u, select(0u, 63u, x == 63u), x >= 62u); }
fn next(q: vec2<u32>) -> vec2<u32> { return vec2<u32>(later(q.x), later(q.y)); }
// Two numbers after a rotation.
fn turned(v: vec2<f32>, s: f32, h: f32) -> vec2<f32> {
  let swap = (s < 0.0) != (h < 0.0);
  let e = select(s, -s, swap);
  let u = vec2<f32>(v.x - e * (v.y + h * v.x), v.y + e * (v.x - h * v.y));
  return select(u, u.yx, swap);
}
// Quotients and roots may be off by some units, always to one side, on a GPU.
fn over(a: f32, b: f32) -> f32 { return a / b; }
fn root(a: f32) -> f32 { return sqrt(a); }
fn square(i: u32) -> f32 { return max(diagonal[i], p.floor); }
// Takes four numbers of G from (i, j) on.
fn keep(e: u32, v: vec4<f32>) {
  let i = e / 16u;
{{- range $k := seq 4}}
  let j{{$k}} = (e % 16u) * 4u + {{$k}}u;
  if (i == j{{$k}}) { diagonal[i] = v[{{$k}}]; }
  if (i < j{{$k}}) { m[place(i, j{{$k}})] = v[{{$k}}]; }
{{- end}}
}
// The largest of their squared cosines.
fn cosine(e: u32, v: vec4<f32>) -> f32 {
  let i = e / 16u;
  var top = 0.0;
{{- range $k := seq 4}}
  let j{{$k}} = (e % 16u) * 4u + {{$k}}u;
  if (i < j{{$k}}) { top = max(top, v[{{$k}}] * v[{{$k}}] / (square(i) * square(j{{$k}}))); }
{{- end}}
  return top;
}
// Rotates pair i, which is q now, and says how. The larger diagonal goes to the smaller place.
fn rotate(i: u32, q: vec2<u32>) {
  let at = place(q.x, q.y);
  let v = m[at];
  let a = diagonal[q.x];
  let b = diagonal[q.y];
  var s = 0.0;
  var h = 0.0;
  if (v * v > p.least * square(q.x) * square(q.y)) {
    let d = b - a;
    var t = over(2.0 * v, abs(d) + root(d * d + 4.0 * v * v));
    if (d < 0.0) { t = -t; }
    h = over(t, 1.0 + root(1.0 + t * t));
    // The angle may be off, but s must be 2h/(1+h²) or the rotation is none: errors to one side, of
    // a hundred thousand rotations, would add up. A step of Newton takes them out.
    let below = fma(h, h, 1.0);
    let inverse = over(1.0, below);
    s = 2.0 * h * inverse;
    s = fma(fma(-s, below, 2.0 * h), inverse, s);
    let swap = ((q.x < q.y) && (d > 0.0)) || ((q.x > q.y) && (d < 0.0));
    diagonal[q.x] = select(a - t * v, b + t * v, swap);
    diagonal[q.y] = select(b + t * v, a - t * v, swap);
    if (swap) { s = -s; }
    m[at] = 0.0;
    busy = 1u;
  }
  sines[i] = s;
  halves[i] = h;
}
// The four numbers of G where the pairs i and j, which are a and b now, meet.
fn join(i: u32, j: u32, a: vec2<u32>, b: vec2<u32>) {
  let hi = halves[i];
  let hj = halves[j];
  if ((hi == 0.0) && (hj == 0.0)) { return; }
  let si = sines[i];
  let sj = sines[j];
  let xx = place(a.x, b.x);
  let xy = place(a.x, b.y);
  let yx = place(a.y, b.x);
  let yy = place(a.y, b.y);
  let u = turned(vec2<f32>(m[xx], m[yx]), si, hi);
  let v = turned(vec2<f32>(m[xy], m[yy]), si, hi);
  let x = turned(vec2<f32>(u.x, v.x), sj, hj);
  let y = turned(vec2<f32>(u.y, v.y), sj, hj);
  m[xx] = x.x;
  m[xy] = x.y;
  m[yx] = y.x;
  m[yy] = y.y;
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
{{- range seq 4}}
  var g{{.}} = vec4<f32>(0.0);
{{- end}}
  for (var part = 0u; part < p.ranges; part = part + 1u) {
    let at = (part * p.pairs + w.x) * 1024u + lane;
{{- range seq 4}}
    g{{.}} = g{{.}} + g[at + {{mul 256 .}}u];
{{- end}}
  }
{{- range seq 4}}
  keep(lane + {{mul 256 .}}u, g{{.}});
{{- end}}
  workgroupBarrier();
  var high = 0.0;
{{- range seq 4}}
  high = max(high, cosine(lane + {{mul 256 .}}u, g{{.}}));
{{- end}}
  high = sqrt(largest(lane, high));
  if (lane == 0u) {
    worst[w.x] = max(worst[w.x], high);
    turns[w.x] = select(0u, 1u, high > p.tol);
    busy = select(0u, 1u, high > p.tol);
  }
  workgroupBarrier();
  if (workgroupUniformLoad(&busy) == 0u) { return; }
  // A thread joins pair i to two of the 16 after it, so that each two pairs are joined once.
  let i = lane % 32u;
  let j = (i + lane / 32u + 1u) % 32u;
  let k = (j + 8u) % 32u;
  var a = meet(i);
  var b = meet(j);
  var c = meet(k);
  let base = w.x * p.cycles * 2016u;
  var laps = 0u;
  while (laps < p.cycles * 63u) {
    if (lane == 0u) { busy = 0u; }
    workgroupBarrier();
    for (var lap = 0u; lap < 63u; lap = lap + 1u) {
      if (lane < 32u) {
        rotate(lane, a);
        log_[base + (laps + lap) * 32u + lane] = vec2<f32>(sines[lane], halves[lane]);
      }
      workgroupBarrier();
      join(i, j, a, b);
      if (lane < 240u) { join(i, k, a, c); }
      a = next(a);
      b = next(b);
      c = next(c);
      workgroupBarrier();
    }
    laps = laps + 63u;
    if (workgroupUniformLoad(&busy) == 0u) { break; }
  }
  storageBarrier();
  workgroupBarrier();
  // The same rotations on the rows of the identity, 32 of them at once, 8 threads to a row. What
  // they add to its ones is kept apart from these, since 1 − sh is 1 for small s and all lengths
  // would grow. After whole cycles the pairs are where they began.
  let of8 = lane / 32u;
{{- range seq 4}}
  var q{{.}} = meet(of8 + {{mul 8 .}}u);
{{- end}}
  for (var top = 0u; top < 64u; top = top + 32u) {
    for (var e = lane; e < 2048u; e = e + 256u) { m[e] = 0.0; }
    if (lane < 32u) { ones[lane] = top + lane; }
{{- range seq 4}}
    var l{{.}} = log_[base + of8 + {{mul 8 .}}u];
{{- end}}
    workgroupBarrier();
    for (var n = 1u; n <= laps; n = n + 1u) {
      // Those of the next lap are on their way while these are at work; the last asks in vain.
      let at = base + min(n, laps - 1u) * 32u + of8;
      let one = ones[((n + 1u) % 2u) * 32u + i];
{{- range seq 4}}
      let n{{.}} = log_[at + {{mul 8 .}}u];
{{- end}}
{{- range seq 4}}
      {
        let swap = (l{{.}}.x < 0.0) != (l{{.}}.y < 0.0);
        if (l{{.}}.y != 0.0) {
          let x = q{{.}}.x * 32u + i;
          let y = q{{.}}.y * 32u + i;
          let v = vec2<f32>(m[x], m[y]);
          let full = v + select(vec2<f32>(0.0), vec2<f32>(1.0), q{{.}} == vec2<u32>(one));
          let s = select(l{{.}}.x, -l{{.}}.x, swap);
          let u = v + s * vec2<f32>(-full.y - l{{.}}.y * full.x, full.x - l{{.}}.y * full.y);
          m[x] = select(u.x, u.y, swap);
          m[y] = select(u.y, u.x, swap);
        }
        if (q{{.}}.x == one) { ones[(n % 2u) * 32u + i] = select(q{{.}}.x, q{{.}}.y, swap); }
        if (q{{.}}.y == one) { ones[(n % 2u) * 32u + i] = select(q{{.}}.y, q{{.}}.x, swap); }
      }
      q{{.}} = next(q{{.}});
      l{{.}} = n{{.}};
{{- end}}
      workgroupBarrier();
    }
    for (var e = lane; e < 2048u; e = e + 256u) {
      let row = e / 64u;
      let one = select(0.0, 1.0, ones[(laps % 2u) * 32u + row] == e % 64u);
      r[w.x * 4096u + (top + row) * 64u + e % 64u] = one + m[(e % 64u) * 32u + row];
    }
    workgroupBarrier();
  }
}
