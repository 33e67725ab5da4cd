// Pieces that kernels share.
{{define "linear"}}
// The index of a thread, of any grid of x·y workgroups of 256.
fn linear(w: vec3<u32>, grid: vec3<u32>, lane: u32) -> u32 {
  return (w.y * grid.x + w.x) * 256u + lane;
}
{{end}}
{{define "reduce"}}
var<workgroup> red: array<f32, 256>;
// The sum of v over the workgroup's 256 threads, known to all.
fn total(lane: u32, v: f32) -> f32 {
  red[lane] = v;
  workgroupBarrier();
  for (var step = 128u; step > 0u; step = step >> 1u) {
    if (lane < step) { red[lane] = red[lane] + red[lane + step]; }
    workgroupBarrier();
  }
  let sum = red[0];
  workgroupBarrier();
  return sum;
}
{{end}}
{{define "largest"}}
// The largest v of the workgroup's 256 threads, known to all.
fn largest(lane: u32, v: f32) -> f32 {
  red[lane] = v;
  workgroupBarrier();
  for (var step = 128u; step > 0u; step = step >> 1u) {
    if (lane < step) { red[lane] = max(red[lane], red[lane + step]); }
    workgroupBarrier();
  }
  let top = red[0];
  workgroupBarrier();
  return top;
}
{{end}}
{{define "key"}}
// Bits in the order of the numbers, from 1 up; 0 for NaN; −0 counts as 0.
fn key(b: u32) -> u32 {
  if ((b & 0x7fffffffu) > 0x7f800000u) { return 0u; }
  if ((b >> 31u) == 0u) { return b | 0x80000000u; }
  if (b == 0x80000000u) { return b; }
  return ~b;
}
{{end}}
{{define "exp"}}
// e^a where a ≤ 0, which is 0 in f32 from −104 on; implementations differ far below that.
fn expn(a: f32) -> f32 { return exp(max(a, -104.0)); }
{{end}}
{{define "silu"}}
// 1/(1+e^−a); e^88 is the last that an f32 holds.
fn sigmoid(a: f32) -> f32 { return 1.0 / (1.0 + exp(min(-a, 88.0))); }
{{end}}
{{define "f16"}}
// IEEE half from and to the bits of an f32, rounded half to even; bit by bit, because conversions
// of devices may flush small numbers or round otherwise.
fn to_f16(b: u32) -> u32 {
  let sign = (b >> 16u) & 0x8000u;
  let a = b & 0x7fffffffu;
  if (a > 0x7f800000u) { return sign | 0x7e00u; }
  if (a >= 0x477ff000u) { return sign | 0x7c00u; }
  if (a >= 0x38800000u) {
    return sign | ((a + 0xfffu + ((a >> 13u) & 1u) - 0x38000000u) >> 13u);
  }
  let shift = 126u - (a >> 23u);
  if (shift > 24u) { return sign; }
  let m = (a & 0x7fffffu) | 0x800000u;
  let q = m >> shift;
  let rest = m & ((1u << shift) - 1u);
  let mid = 1u << (shift - 1u);
  if ((rest > mid) || ((rest == mid) && ((q & 1u) == 1u))) { return sign | (q + 1u); }
  return sign | q;
}
fn from_f16(h: u32) -> u32 {
  let sign = (h & 0x8000u) << 16u;
  let e = (h >> 10u) & 31u;
  let m = h & 0x3ffu;
  if (e == 31u) { return sign | 0x7f800000u | (m << 13u); }
  if (e != 0u) { return sign | ((e + 112u) << 23u) | (m << 13u); }
  if (m == 0u) { return sign; }
  return sign | bitcast<u32>(f32(m) * 5.9604644775390625e-8);
}
// The upper half of an f32, rounded half to even.
fn to_bf16(b: u32) -> u32 {
  if ((b & 0x7fffffffu) > 0x7f800000u) { return (b >> 16u) | 0x40u; }
  return (b + 0x7fffu + ((b >> 16u) & 1u)) >> 16u;
}
{{end}}
{{define "number"}}
{{- if eq .Type "f16"}}{{template "f16"}}{{end}}
// Number k of a row of w_, as pack, pack_q8 and pack_q4 left it, as the bits of an f32.
fn number(row: u32, k: u32) -> u32 {
{{- if eq .Type "f32"}}
  return w_[row * p.words + k];
{{- else if eq .Type "q8"}}
  let q = unpack4xI8(w_[row * p.words + k / 4u])[k % 4u];
  let scale = w_[p.quants + row * (p.cols / 32u) + k / 32u];
  return bitcast<u32>(bitcast<f32>(scale) * f32(q));
{{- else if eq .Type "q4"}}
  let q = extractBits(bitcast<i32>(w_[row * p.words + k / 8u]), 4u * (k % 8u), 4u);
  let scale = w_[p.quants + row * (p.cols / 32u) + k / 32u];
  return bitcast<u32>(bitcast<f32>(scale) * f32(q));
{{- else}}
  let bits = (w_[row * p.words + k / 2u] >> ((k & 1u) * 16u)) & 0xffffu;
{{- if eq .Type "f16"}}
  return from_f16(bits);
{{- else}}
  return bits << 16u;
{{- end}}
{{- end}}
}
{{end}}
{{define "ratio"}}
// a/b, rounded well: division alone may be off by 2.5 ulp, and a tie then rounds to the wrong side.
fn ratio(a: f32, b: f32) -> f32 {
  let q = a / b;
  return q + fma(-q, b, a) / b;
}
{{end}}
{{define "bytes"}}
// The four signed bytes of a word. A byte put into the last bits of 2^23 is that number and more,
// exactly; conversions of integers are slower than sums on many devices.
fn bytes(w: u32) -> vec4<f32> {
  let u = w ^ 0x80808080u;
  return bitcast<vec4<f32>>((vec4<u32>(u, u >> 8u, u >> 16u, u >> 24u) & vec4<u32>(0xffu)) |
    vec4<u32>(0x4b000000u)) - vec4<f32>(8388736.0);
}
{{template "pick"}}
{{end}}
{{define "nibbles"}}
// The four signed nibbles in the lower half of a word; see bytes.
fn nibbles(w: u32) -> vec4<f32> {
  let u = w ^ 0x8888u;
  return bitcast<vec4<f32>>((vec4<u32>(u, u >> 4u, u >> 8u, u >> 12u) & vec4<u32>(15u)) |
    vec4<u32>(0x4b000000u)) - vec4<f32>(8388616.0);
}
{{template "pick"}}
{{end}}
{{define "pick"}}
// Number i of a vec4, without an index that is not constant: that would go through memory.
fn pick(v: vec4<u32>, i: u32) -> u32 {
  let odd = (i & 1u) == 1u;
  return select(select(v.x, v.y, odd), select(v.z, v.w, odd), i >= 2u);
}
{{end}}
{{define "four"}}
{{- if eq .Type "f32"}}
alias Word = vec4<f32>;
fn four(w: Word) -> vec4<f32> { return w; }
{{- else if eq .Type "f16"}}
alias Word = vec2<u32>;
fn four(w: Word) -> vec4<f32> { return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y)); }
{{- else if eq .Type "bf16"}}
alias Word = vec2<u32>;
fn four(w: Word) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(w.x << 16u, w.x & 0xffff0000u, w.y << 16u,
    w.y & 0xffff0000u));
}
{{- else if eq .Type "q8"}}
alias Word = u32;
{{template "bytes"}}
fn four(w: Word) -> vec4<f32> { return bytes(w); }
{{- else if eq .Type "q4"}}
alias Word = u32;
{{template "nibbles"}}
fn four(w: Word) -> vec4<f32> { return nibbles(w); }
{{- end}}
{{end}}
{{define "pair"}}
// The largest of x and ref in row t, and the logs of their sums of exp(· − largest).
fn soft(lane: u32, t: u32) -> vec4<f32> {
  let xa = p.xo + t * p.n;
  let ra = p.ro + t * p.n;
  var tx = x[xa];
  var tr = ref_[ra];
  for (var j = lane; j < p.n; j = j + 256u) {
    tx = max(tx, x[xa + j]);
    tr = max(tr, ref_[ra + j]);
  }
  tx = largest(lane, tx);
  tr = largest(lane, tr);
  var sx = 0.0;
  var sr = 0.0;
  for (var j = lane; j < p.n; j = j + 256u) {
    sx = sx + expn(x[xa + j] - tx);
    sr = sr + expn(ref_[ra + j] - tr);
  }
  return vec4<f32>(tx, tr, log(total(lane, sx)), log(total(lane, sr)));
}
// Σ_v p·(log p − log q) of the rows at xa and ra: equal rows give 0 exactly.
fn divergence(lane: u32, xa: u32, ra: u32, s: vec4<f32>) -> f32 {
  var k = 0.0;
  for (var j = lane; j < p.n; j = j + 256u) {
    let lp = (x[xa + j] - s.x) - s.z;
    let lq = (ref_[ra + j] - s.y) - s.w;
    k = k + expn(lp) * (lp - lq);
  }
  return total(lane, k);
}
{{end}}
{{define "part"}}
{{- if eq .Type "q8"}}{{template "bytes"}}{{else if eq .Type "q4"}}{{template "nibbles"}}{{end}}
// Numbers 4i to 4i+3 of the vec4 w.
fn part(w: vec4<u32>, i: u32) -> vec4<f32> {
{{- if eq .Type "f32"}}
  return bitcast<vec4<f32>>(w);
{{- else if eq .Type "q8"}}
  return bytes(pick(w, i));
{{- else if eq .Type "q4"}}
  return nibbles(pick(w, i / 2u) >> (16u * (i & 1u)));
{{- else if eq .Type "f16"}}
  let pair = select(w.xy, w.zw, i == 1u);
  return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
{{- else}}
  let pair = select(w.xy, w.zw, i == 1u);
  return bitcast<vec4<f32>>(vec4<u32>(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u,
    pair.y & 0xffff0000u));
{{- end}}
}
{{end}}
{{define "tournament"}}
// Pair i of a lap, of n−1 in which each of n (even) meets every other once; the smaller first.
fn meet(i: u32, lap: u32, n: u32) -> vec2<u32> {
  let a = (lap + i) % (n - 1u);
  let b = select((lap + n - 1u - i) % (n - 1u), n - 1u, i == 0u);
  return vec2<u32>(min(a, b), max(a, b));
}
{{end}}
{{define "vector"}}
// Numbers 4k to 4k+3 of row t of x, zeros past its end: padding may not meet NaN.
fn four(t: u32, k: u32) -> vec4<f32> {
{{- if .Vec}}
  return x[(p.xo + t * p.width) / 4u + k];
{{- else}}
  let at = p.xo + t * p.width + 4u * k;
  let n = p.width - 4u * k;
  return vec4<f32>(x[at], select(0.0, x[at + 1u], n > 1u), select(0.0, x[at + 2u], n > 2u),
    select(0.0, x[at + 3u], n > 3u));
{{- end}}
}
{{end}}
{{define "squares"}}
// What the parts of a sum of squares beyond the first eight of each thread add.
fn more_squares(lane: u32) -> f32 {
  var sum = 0.0;
  for (var i = lane + {{mul 8 .Threads}}u; i < p.parts; i = i + {{.Threads}}u) {
    sum = sum + squares[i];
  }
  return sum;
}
{{end}}
{{define "ask"}}
// Parts of the sum of squares are asked for first and needed last.
{{- range $i := seq 8}}
  let part{{$i}} = squares[min(lane + {{mul $i $.Threads}}u, p.parts - 1u)];
{{- end}}
{{end}}
{{define "answer"}}
  var square = more_squares(lane);
{{- range $i := seq 8}}
  square = square + select(0.0, part{{$i}}, lane + {{mul $i $.Threads}}u < p.parts);
{{- end}}
{{end}}
{{define "eight"}}
// Eight numbers of a weight, and the first or the second four of them.
{{- if eq .Type "q8"}}
alias Eight = vec2<u32>;
{{template "bytes"}}
fn half(w: Eight, i: u32) -> vec4<f32> { return bytes(select(w.x, w.y, i == 1u)); }
{{- range seq .Count}}
fn scale{{.}}(out: u32, block: u32) -> f32 {
  let at = out * p.w4 * 4u + block;
  let pair = w_{{.}}[at / 2u];
  return bitcast<f32>(select(pair.x, pair.y, (at & 1u) == 1u));
}
{{- end}}
{{- else if eq .Type "q4"}}
alias Eight = u32;
{{template "nibbles"}}
fn half(w: Eight, i: u32) -> vec4<f32> { return nibbles(w >> (16u * i)); }
{{- range seq .Count}}
fn scale{{.}}(out: u32, block: u32) -> f32 { return bitcast<f32>(w_{{.}}[out * p.w4 * 4u + block]); }
{{- end}}
{{- else}}
alias Eight = vec4<u32>;
fn half(w: Eight, i: u32) -> vec4<f32> {
  let pair = select(w.xy, w.zw, i == 1u);
{{- if eq .Type "f16"}}
  return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
{{- else}}
  return bitcast<vec4<f32>>(vec4<u32>(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u,
    pair.y & 0xffff0000u));
{{- end}}
}
{{- end}}
{{end}}
