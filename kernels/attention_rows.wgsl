// o[h] = Σ_s softmax_s(scale·q[h]·k[s])·v[s] over one row's span, or a range of it: for few rows
// 0 o write | 1 lse write | 2 q read | 3 k read | 4 v read | 5 spans read
// p {rows, query heads, key heads, offsets of o, lse, q, k, v, spans, scale, ranges, −Inf,
// lse given}
// With one range o and lse are final; else they are partial: o [T Q ranges dim] not divided, lse
// [T Q ranges 2] the maximum and the sum, for attention_merge.
// 256 threads to (row, {{.Group}} heads with the same keys, range): 32 keys × 8 threads, online
// softmax
struct P { rows: u32, q: u32, kv: u32, oo: u32, lo: u32, qo: u32, ko: u32, vo: u32, so: u32,
  scale: f32, ranges: u32, inf: u32, given: u32 }
{{- $g := .Group}}{{$v := .}}{{$cv := .Columns}}
{{- $t := "f32"}}{{if .Vec}}{{$t = "vec4<f32>"}}{{end}}
@group(0) @binding(0) var<storage, read_write> o: array<f32>;
@group(0) @binding(1) var<storage, read_write> lse: array<f32>;
@group(0) @binding(2) var<storage, read> q: array<{{$t}}>;
@group(0) @binding(3) var<storage, read> k: array<{{$t}}>;
@group(0) @binding(4) var<storage, read> v: array<{{$t}}>;
@group(0) @binding(5) var<storage, read> spans: array<u32>;
@group(0) @binding(6) var<uniform> p: P;
var<workgroup> qs: array<vec4<f32>, {{mul $g $cv}}>;
var<workgroup> red: array<vec4<f32>, 256>;
var<workgroup> part: array<f32, {{mul $g 256}}>;
var<workgroup> score: array<f32, {{mul $g 32}}>;
var<workgroup> weight: array<f32, {{mul $g 32}}>;
var<workgroup> top: array<f32, {{$g}}>;
var<workgroup> next: array<f32, {{$g}}>;
var<workgroup> sum: array<f32, {{$g}}>;
var<workgroup> fade: array<f32, {{$g}}>;
const LOW: f32 = -3.4028234e38;
{{template "exp"}}
{{template "piece" (.With "q" "k" "v")}}
{{template "head" (.To "o")}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = w.x;
  let head = w.y * {{$g}}u;
  let kvhead = head / (p.q / p.kv);
  let first = spans[p.so + 2u * t];
  let last = max(first, spans[p.so + 2u * t + 1u]);
  let width = ((last - first + p.ranges - 1u) / p.ranges + 31u) / 32u * 32u;
  let lo = min(last, first + w.z * width);
  let hi = min(last, lo + width);
  for (var i = lane; i < {{mul $g $cv}}u; i = i + 256u) {
    qs[i] = q4(p.qo + (t * p.q + head + i / {{$cv}}u) * {{.Dim}}u, i % {{$cv}}u) * p.scale;
  }
  if (lane < {{$g}}u) {
    top[lane] = LOW;
    sum[lane] = 0.0;
  }
{{- range seq $g}}
  var acc{{.}} = vec4<f32>(0.0);
{{- end}}
  let column = lane % {{$cv}}u;
  let share = lane / {{$cv}}u;
  workgroupBarrier();
  for (var tile = lo; tile < hi; tile = tile + 32u) {
    // Values are asked for before they are needed: what the keys give takes as long as they do.
    let end = min(32u, hi - tile);
{{- range seq .Turns}}
    var value{{.}} = vec4<f32>(0.0);
    if ((share < {{$v.Shares}}u) && (share + {{mul . $v.Shares}}u < end)) {
      value{{.}} = v4(p.vo + ((tile + share + {{mul . $v.Shares}}u) * p.kv + kvhead) * {{$v.Dim}}u,
        column);
    }
{{- end}}
    let mine = lane / 8u;
{{- range seq $g}}
    var d{{.}} = 0.0;
{{- end}}
    if (tile + mine < hi) {
      let at = p.ko + ((tile + mine) * p.kv + kvhead) * {{.Dim}}u;
      for (var c = lane % 8u; c < {{$cv}}u; c = c + 8u) {
        let kc = k4(at, c);
{{- range seq $g}}
        d{{.}} = d{{.}} + dot(qs[{{mul . $cv}}u + c], kc);
{{- end}}
      }
    }
{{- range seq $g}}
    part[{{mul . 256}}u + lane] = d{{.}};
{{- end}}
    workgroupBarrier();
    if (lane < {{mul $g 32}}u) {
      var s = 0.0;
      for (var e = 0u; e < 8u; e = e + 1u) { s = s + part[lane * 8u + e]; }
      score[lane] = select(LOW, s, tile + lane % 32u < hi);
    }
    workgroupBarrier();
    if (lane < {{mul $g 32}}u) {
      let g = lane / 32u;
      var m = top[g];
      for (var j = 0u; j < 32u; j = j + 1u) { m = max(m, score[g * 32u + j]); }
      weight[lane] = select(0.0, expn(score[lane] - m), tile + lane % 32u < hi);
      if (lane % 32u == 0u) {
        fade[g] = expn(top[g] - m);
        next[g] = m;
      }
    }
    workgroupBarrier();
{{- range seq $g}}
    acc{{.}} = acc{{.}} * fade[{{.}}];
{{- end}}
{{- range $i := seq .Turns}}
    if ((share < {{$v.Shares}}u) && (share + {{mul . $v.Shares}}u < end)) {
{{- range seq $g}}
      acc{{.}} = acc{{.}} + weight[{{mul . 32}}u + share + {{mul $i $v.Shares}}u] * value{{$i}};
{{- end}}
    }
{{- end}}
    if (lane < {{$g}}u) {
      var s = sum[lane] * fade[lane];
      for (var j = 0u; j < 32u; j = j + 1u) { s = s + weight[lane * 32u + j]; }
      sum[lane] = s;
      top[lane] = next[lane];
    }
    workgroupBarrier();
  }
{{- range seq $g}}
  red[lane] = acc{{.}};
  workgroupBarrier();
  if (lane < {{$cv}}u) {
    var s = red[lane];
    for (var e = 1u; e < {{$v.Shares}}u; e = e + 1u) { s = s + red[e * {{$cv}}u + lane]; }
    let h = (t * p.q + head + {{.}}u) * p.ranges + w.z;
    var scale = 1.0;
    if (p.ranges == 1u) { scale = select(0.0, 1.0 / sum[{{.}}], sum[{{.}}] > 0.0); }
    put4(p.oo + h * {{$v.Dim}}u, lane, s * scale);
    if ((lane == 0u) && (p.given != 0u)) {
      if (p.ranges > 1u) {
        lse[p.lo + 2u * h] = top[{{.}}];
        lse[p.lo + 2u * h + 1u] = sum[{{.}}];
      } else if (sum[{{.}}] > 0.0) {
        lse[p.lo + h] = top[{{.}}] + log(sum[{{.}}]);
      } else {
        lse[p.lo + h] = bitcast<f32>(p.inf);
      }
    }
  }
  workgroupBarrier();
{{- end}}
}
