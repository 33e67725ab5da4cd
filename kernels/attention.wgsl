// o[t,h] = Σ_s p[s]·v[s], p = softmax over the row's span of scale·q[t,h]·k[s]; lse its log-sum
// 0 o write | 1 lse write | 2 q read | 3 k read | 4 v read | 5 spans read
// p {rows, query heads, key heads, offsets of o, lse, q, k, v, spans, scale, lse given, −Inf}
// 256 threads to (64 rows, head), tiles of 32 keys, online softmax (Dao et al. 2022): scores are
// made over 16 numbers of the head at a time, as in gemm; tiles that no row sees are passed over
struct P { rows: u32, q: u32, kv: u32, oo: u32, lo: u32, qo: u32, ko: u32, vo: u32, so: u32,
  scale: f32, given: u32, inf: u32 }
{{- $v := .}}{{$cv := .Columns}}
{{- $t := "f32"}}{{if .Vec}}{{$t = "vec4<f32>"}}{{end}}
@group(0) @binding(0) var<storage, read_write> o: array<f32>;
@group(0) @binding(1) var<storage, read_write> lse: array<f32>;
@group(0) @binding(2) var<storage, read> q: array<{{$t}}>;
@group(0) @binding(3) var<storage, read> k: array<{{$t}}>;
@group(0) @binding(4) var<storage, read> v: array<{{$t}}>;
@group(0) @binding(5) var<storage, read> spans: array<u32>;
@group(0) @binding(6) var<uniform> p: P;
var<workgroup> qc: array<vec4<f32>, 256>;
var<workgroup> kc: array<vec4<f32>, 128>;
var<workgroup> weight: array<vec4<f32>, 512>;
var<workgroup> red: array<f32, 256>;
var<workgroup> low: array<u32, 64>;
var<workgroup> high: array<u32, 64>;
var<workgroup> top: array<f32, 64>;
var<workgroup> hull: array<u32, 2>;
var<workgroup> seen: u32;
const LOW: f32 = -3.4028234e38;
{{template "exp"}}
{{template "piece" (.With "q" "k" "v")}}
{{template "head" (.To "o")}}
// Row i of the tile of Q, and of K: numbers 4c to 4c+3 of the head, zeros outside.
fn qrow(t: u32, head: u32, c: u32) -> vec4<f32> {
  if ((t >= p.rows) || (c >= {{$cv}}u)) { return vec4<f32>(0.0); }
  return q4(p.qo + (t * p.q + head) * {{.Dim}}u, c) * p.scale;
}
fn krow(s: u32, end: u32, head: u32, c: u32) -> vec4<f32> {
  if ((s >= end) || (c >= {{$cv}}u)) { return vec4<f32>(0.0); }
  return k4(p.ko + (s * p.kv + head) * {{.Dim}}u, c);
}
// The four scores of key j, where its row's span has it.
fn masked(s: vec4<f32>, row: u32, key: u32) -> vec4<f32> {
  return vec4<f32>(
    select(LOW, s.x, (key >= low[row]) && (key < high[row])),
    select(LOW, s.y, (key >= low[row + 1u]) && (key < high[row + 1u])),
    select(LOW, s.z, (key >= low[row + 2u]) && (key < high[row + 2u])),
    select(LOW, s.w, (key >= low[row + 3u]) && (key < high[row + 3u])));
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t0 = w.x * 64u;
  let head = w.y;
  let kvhead = head / (p.q / p.kv);
  let tx = lane % 16u;
  let ty = lane / 16u;
  if (lane < 64u) {
    low[lane] = 0u;
    high[lane] = 0u;
    if (t0 + lane < p.rows) {
      low[lane] = spans[p.so + 2u * (t0 + lane)];
      high[lane] = spans[p.so + 2u * (t0 + lane) + 1u];
    }
    top[lane] = LOW;
  }
  workgroupBarrier();
  if (lane == 0u) {
    var first = 0xffffffffu;
    var last = 0u;
    for (var i = 0u; i < 64u; i = i + 1u) {
      if (low[i] < high[i]) {
        first = min(first, low[i]);
        last = max(last, high[i]);
      }
    }
    hull[0] = min(first, last);
    hull[1] = last;
  }
  let begin = workgroupUniformLoad(&hull[0]);
  let end = workgroupUniformLoad(&hull[1]);
  // Of row `lane`, in threads below 64: the sum of its weights, and what a new maximum leaves of
  // it.
  var sum = 0.0;
  var fade = 0.0;
{{- range $n := seq .Wide}}{{range seq 4}}
  var o{{$n}}_{{.}} = vec4<f32>(0.0);
{{- end}}{{end}}
  for (var tile = begin; tile < end; tile = tile + 32u) {
    if (lane == 0u) { seen = 0u; }
    workgroupBarrier();
    if (lane < 64u) {
      if ((max(low[lane], tile) < min(high[lane], tile + 32u))) { seen = 1u; }
    }
    if (workgroupUniformLoad(&seen) == 0u) { continue; }
    var s0 = vec4<f32>(0.0);
    var s1 = vec4<f32>(0.0);
    for (var c0 = 0u; c0 < {{$cv}}u; c0 = c0 + 4u) {
      if (lane < 64u) {
        let c = c0 + lane % 4u;
        let r = t0 + (lane / 4u) * 4u;
        let a = qrow(r, head, c);
        let b = qrow(r + 1u, head, c);
        let d = qrow(r + 2u, head, c);
        let e = qrow(r + 3u, head, c);
        let at = (lane % 4u) * 64u + lane / 4u;
        qc[at] = vec4<f32>(a.x, b.x, d.x, e.x);
        qc[at + 16u] = vec4<f32>(a.y, b.y, d.y, e.y);
        qc[at + 32u] = vec4<f32>(a.z, b.z, d.z, e.z);
        qc[at + 48u] = vec4<f32>(a.w, b.w, d.w, e.w);
      } else if (lane < 96u) {
        let c = c0 + lane % 4u;
        let r = tile + (lane / 4u - 16u) * 4u;
        let a = krow(r, end, kvhead, c);
        let b = krow(r + 1u, end, kvhead, c);
        let d = krow(r + 2u, end, kvhead, c);
        let e = krow(r + 3u, end, kvhead, c);
        let at = (lane % 4u) * 32u + lane / 4u - 16u;
        kc[at] = vec4<f32>(a.x, b.x, d.x, e.x);
        kc[at + 8u] = vec4<f32>(a.y, b.y, d.y, e.y);
        kc[at + 16u] = vec4<f32>(a.z, b.z, d.z, e.z);
        kc[at + 24u] = vec4<f32>(a.w, b.w, d.w, e.w);
      }
      workgroupBarrier();
      for (var i = 0u; i < 16u; i = i + 1u) {
        let a = qc[i * 16u + ty];
        let four = kc[i * 8u + tx / 2u];
        let two = select(four.xy, four.zw, (tx & 1u) == 1u);
        s0 = fma(a, vec4<f32>(two.x), s0);
        s1 = fma(a, vec4<f32>(two.y), s1);
      }
      workgroupBarrier();
    }
    s0 = masked(s0, ty * 4u, tile + tx * 2u);
    s1 = masked(s1, ty * 4u, tile + tx * 2u + 1u);
    weight[tx * 32u + ty] = s0;
    weight[tx * 32u + 16u + ty] = s1;
    workgroupBarrier();
    // A quarter of the keys of four rows to each of 64 threads: rows 4·(lane%16) on, 8 keys.
    if (lane < 64u) {
      var m = vec4<f32>(LOW);
      for (var j = 0u; j < 8u; j = j + 1u) {
        m = max(m, weight[((lane / 16u) * 8u + j) * 16u + lane % 16u]);
      }
      let at = (lane / 16u) * 64u + (lane % 16u) * 4u;
      red[at] = m.x;
      red[at + 1u] = m.y;
      red[at + 2u] = m.z;
      red[at + 3u] = m.w;
    }
    workgroupBarrier();
    if (lane < 64u) {
      let old = top[lane];
      let m = max(old, max(max(red[lane], red[lane + 64u]),
        max(red[lane + 128u], red[lane + 192u])));
      fade = expn(old - m);
      top[lane] = m;
      red[lane] = fade;
    }
    workgroupBarrier();
    let m4 = vec4<f32>(top[ty * 4u], top[ty * 4u + 1u], top[ty * 4u + 2u], top[ty * 4u + 3u]);
    let f4 = vec4<f32>(red[ty * 4u], red[ty * 4u + 1u], red[ty * 4u + 2u], red[ty * 4u + 3u]);
    let e0 = vec4<f32>(expn(s0.x - m4.x), expn(s0.y - m4.y), expn(s0.z - m4.z), expn(s0.w - m4.w));
    let e1 = vec4<f32>(expn(s1.x - m4.x), expn(s1.y - m4.y), expn(s1.z - m4.z), expn(s1.w - m4.w));
    weight[tx * 32u + ty] = select(vec4<f32>(0.0), e0, s0 > vec4<f32>(LOW));
    weight[tx * 32u + 16u + ty] = select(vec4<f32>(0.0), e1, s1 > vec4<f32>(LOW));
    workgroupBarrier();
    if (lane < 64u) {
      var s = vec4<f32>(0.0);
      for (var j = 0u; j < 8u; j = j + 1u) {
        s = s + weight[((lane / 16u) * 8u + j) * 16u + lane % 16u];
      }
      let at = (lane / 16u) * 64u + (lane % 16u) * 4u;
      red[at] = s.x;
      red[at + 1u] = s.y;
      red[at + 2u] = s.z;
      red[at + 3u] = s.w;
    }
{{- range $n := seq .Wide}}
    o{{$n}}_0 = o{{$n}}_0 * f4.x;
    o{{$n}}_1 = o{{$n}}_1 * f4.y;
    o{{$n}}_2 = o{{$n}}_2 * f4.z;
    o{{$n}}_3 = o{{$n}}_3 * f4.w;
{{- end}}
    for (var j = 0u; j < 32u; j = j + 1u) {
      let a = weight[j * 16u + ty];
      // A key that no row sees may hold anything, and nothing times NaN is NaN.
      if (a.x + a.y + a.z + a.w > 0.0) {
        let at = p.vo + ((tile + j) * p.kv + kvhead) * {{.Dim}}u;
{{- range $n := seq .Wide}}
        if (tx + {{mul $n 16}}u < {{$cv}}u) {
          let x = v4(at, tx + {{mul $n 16}}u);
          o{{$n}}_0 = fma(vec4<f32>(a.x), x, o{{$n}}_0);
          o{{$n}}_1 = fma(vec4<f32>(a.y), x, o{{$n}}_1);
          o{{$n}}_2 = fma(vec4<f32>(a.z), x, o{{$n}}_2);
          o{{$n}}_3 = fma(vec4<f32>(a.w), x, o{{$n}}_3);
        }
{{- end}}
      }
    }
    workgroupBarrier();
    if (lane < 64u) {
      sum = sum * fade +
        ((red[lane] + red[lane + 64u]) + (red[lane + 128u] + red[lane + 192u]));
    }
    workgroupBarrier();
  }
  if (lane < 64u) { red[lane] = sum; }
  workgroupBarrier();
{{- range $i := seq 4}}
  {
    let row = ty * 4u + {{$i}}u;
    let t = t0 + row;
    if (t < p.rows) {
      let scale = select(0.0, 1.0 / red[row], red[row] > 0.0);
{{- range $n := seq $v.Wide}}
      if (tx + {{mul $n 16}}u < {{$cv}}u) {
        put4(p.oo + (t * p.q + head) * {{$v.Dim}}u, tx + {{mul $n 16}}u, o{{$n}}_{{$i}} * scale);
      }
{{- end}}
      if ((tx == 0u) && (p.given != 0u)) {
        if (red[row] > 0.0) { lse[p.lo + t * p.q + head] = top[row] + log(red[row]); }
        else { lse[p.lo + t * p.q + head] = bitcast<f32>(p.inf); }
      }
    }
  }
{{- end}}
}
