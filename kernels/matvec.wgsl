// y[t,n] = Σ_k x[t,k]·w[n,k] for {{.Rows}} rows of x, each weight read once
// 0 y [T out] write | 1 x [T in] read | 2 w [out in] read | 3 scales of a q8 w, else w again
// p {outputs, vec4 of a row of w, in, out of y, offsets of y, x, first and last row of x, scales}
// {{.Out}} outputs to a workgroup of 64 threads, which share the inputs
struct P { out: u32, w4: u32, width: u32, ldy: u32, yo: u32, xo: u32, row: u32, last: u32, so: u32 }
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<{{if .Vec}}vec4<f32>{{else}}f32{{end}}>;
@group(0) @binding(2) var<storage, read> w_: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> scales: array<f32>;
@group(0) @binding(4) var<uniform> p: P;
var<workgroup> red: array<f32, {{mul 64 (mul .Out .Rows)}}>;
{{- $per := 1}}{{if eq .Type "q8"}}{{$per = 4}}{{else if ne .Type "f32"}}{{$per = 2}}{{end}}
{{- $q8 := eq .Type "q8"}}
{{- $v := .}}
// Numbers 4i to 4i+3 of the vec4 w.
fn part(w: vec4<u32>, i: u32) -> vec4<f32> {
{{- if eq .Type "f32"}}
  return bitcast<vec4<f32>>(w);
{{- else if eq .Type "q8"}}
  return vec4<f32>(unpack4xI8(w[i]));
{{- else if eq .Type "f16"}}
  let pair = select(w.xy, w.zw, i == 1u);
  return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
{{- else}}
  let pair = select(w.xy, w.zw, i == 1u);
  return bitcast<vec4<f32>>(vec4<u32>(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u,
    pair.y & 0xffff0000u));
{{- end}}
}
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
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let n0 = (w.y * grid.x + w.x) * {{.Out}}u;
  if (n0 >= p.out) { return; }
{{- range seq .Out}}
  let r{{.}} = min(n0 + {{.}}u, p.out - 1u) * p.w4;
{{- $r := .}}{{range seq $v.Rows}}
  var a{{$r}}_{{.}} = 0.0;
{{- end}}{{end}}
{{- range seq .Rows}}
  let t{{.}} = min(p.row + {{.}}u, p.last);
{{- end}}
  var c = lane;
{{- range $unroll := .Steps}}
  {{if gt $unroll 1}}while (c + {{mul 64 (add $unroll -1)}}u < p.w4) {{else}}while (c < p.w4) {{end}}{
{{- range $u := seq $unroll}}{{range seq $v.Out}}
    let w{{$u}}_{{.}} = w_[r{{.}} + c + {{mul 64 $u}}u];
{{- end}}{{end}}
{{- range $u := seq $unroll}}
    {
      let k = (c + {{mul 64 $u}}u) * {{$per}}u;
{{- if $q8}}{{range seq $v.Out}}
      let s{{.}} = scales[p.so + (r{{.}} + c + {{mul 64 $u}}u) / 2u];
{{- end}}{{end}}
{{- range $t := seq $v.Rows}}
{{- range $i := seq $per}}
{{- if or $v.Vec (eq $i 0)}}
      let x{{$t}}_{{$i}} = four(t{{$t}}, k + {{$i}}u);
{{- else}}
      var x{{$t}}_{{$i}} = vec4<f32>(0.0);
      if (4u * (k + {{$i}}u) < p.width) { x{{$t}}_{{$i}} = four(t{{$t}}, k + {{$i}}u); }
{{- end}}{{end}}
{{- range $r := seq $v.Out}}
      a{{$r}}_{{$t}} = a{{$r}}_{{$t}} + {{if $q8}}s{{$r}} * ({{end}}
{{- range $i := seq $per}}{{if $i}} + {{end}}dot(part(w{{$u}}_{{$r}}, {{$i}}u), x{{$t}}_{{$i}}){{end}}
{{- if $q8}}){{end}};
{{- end}}{{end}}
    }
{{- end}}
    c = c + {{mul 64 $unroll}}u;
  }
{{- end}}
{{- range $r := seq .Out}}{{range $t := seq $v.Rows}}
  red[lane * {{mul $v.Out $v.Rows}}u + {{add (mul $r $v.Rows) $t}}u] = a{{$r}}_{{$t}};
{{- end}}{{end}}
  workgroupBarrier();
  for (var step = {{mul 32 (mul .Out .Rows)}}u; step >= {{mul .Out .Rows}}u; step = step >> 1u) {
    for (var i = lane; i < step; i = i + 64u) { red[i] = red[i] + red[i + step]; }
    workgroupBarrier();
  }
  for (var i = lane; i < {{mul .Out .Rows}}u; i = i + 64u) {
    let n = n0 + i / {{.Rows}}u;
    let t = p.row + i % {{.Rows}}u;
    if ((n < p.out) && (t <= p.last)) { y[p.yo + t * p.ldy + n] = red[i]; }
  }
}
