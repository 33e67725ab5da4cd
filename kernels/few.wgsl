// y[t,n] = Σ_k x[t,k]·w[n,k] for up to {{.Rows}} rows of x and {{.Count}} weights, each read once
// 0.. y [T out] write, one a weight | x [T in] read | w [out in] read, one a weight, as pack left it
// p {vec4 of a row of w, in, offset of x, rows, numbers of a range, partial sums' stride; and of
// each weight: outputs, offset of y, width of y}
// {{mul 32 .Teams}} threads to {{mul .Teams .Out}} outputs and a range of the inner dimension: 32 to
// {{.Out}}, each with 8 of every 256 numbers. The rows of x, which all outputs take, lie in workgroup
// memory, 256 numbers at a time
{{- $v := .}}{{$count := seq .Count}}{{$outs := mul .Teams .Out}}{{$turns := div (add .Teams 3) 4}}
struct P { w4: u32, width: u32, xo: u32, rows: u32, range: u32, stride: u32
{{- range $count}}, out{{.}}: u32, yo{{.}}: u32, ldy{{.}}: u32{{end}} }
{{- range $count}}
@group(0) @binding({{.}}) var<storage, read_write> y{{.}}: array<f32>;
{{- end}}
@group(0) @binding({{.Count}}) var<storage, read> x: array<vec4<f32>>;
{{- range $count}}
@group(0) @binding({{add (add $.Count 1) .}}) var<storage, read> w_{{.}}: array<Eight>;
{{- end}}
@group(0) @binding({{add (mul 2 .Count) 1}}) var<uniform> p: P;
{{template "eight" .}}
// Numbers 8l+4i to 8l+4i+3 of row t are at 64t + 32i + l, where 32 threads read without a conflict.
// When all sums are made, the threads' parts of them.
var<workgroup> xs: array<vec4<f32>, {{.Held}}>;
@compute @workgroup_size({{mul 32 .Teams}})
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let l = lane % 32u;
  let team = lane / 32u;
  var group = w.y * grid.x + w.x;
  var which = 0u;
  var out = p.out0;
  var yo = p.yo0;
  var ldy = p.ldy0;
{{- range $count}}{{if .}}
  if ((which == {{add . -1}}u) && (group >= (out + {{add $outs -1}}u) / {{$outs}}u)) {
    group = group - (out + {{add $outs -1}}u) / {{$outs}}u;
    which = {{.}}u;
    out = p.out{{.}};
    yo = p.yo{{.}};
    ldy = p.ldy{{.}};
  }
{{- end}}{{end}}
  let n0 = (group * {{$v.Teams}}u + team) * {{$v.Out}}u;
{{- range $r := seq $v.Out}}
  let r{{$r}} = min(n0 + {{$r}}u, out - 1u) * p.w4 * {{$v.Eights}}u;
  var w{{$r}} = Eight(0u);
{{- if $v.Scaled}}
  var s{{.}} = 0.0;
{{- end}}
{{- range seq $v.Rows}}
  var a{{$r}}_{{.}} = 0.0;
{{- end}}{{end}}
  let end = min(p.width, (w.z + 1u) * p.range);
  var k0 = w.z * p.range;
{{template "fetch_few" .}}
  while (k0 < end) {
{{- range seq $v.Out}}
    let v{{.}} = w{{.}};
{{- if $v.Scaled}}
    let f{{.}} = s{{.}};
{{- end}}{{end}}
    let halves = min(2u, (end - k0 + 3u) / 4u);
    workgroupBarrier();
    let k = k0 + lane % 64u * 4u;
{{- range $v.Loads}}
    var x{{.}} = vec4<f32>(0.0);
    if (({{.}}u + lane / 64u < p.rows) && (k < p.width)) {
      x{{.}} = x[(p.xo + ({{.}}u + lane / 64u) * p.width + k) / 4u];
    }
{{- end}}
{{- range $v.Loads}}
    xs[{{mul 64 .}}u + lane / 64u * 64u + (lane % 2u) * 32u + lane % 64u / 2u] = x{{.}};
{{- end}}
    workgroupBarrier();
    // What comes next is asked for before it is needed.
    k0 = k0 + 256u;
{{template "fetch_few" .}}
    // The halves of eight numbers by turns, not one after the other: that is half the code.
    for (var i = 0u; i < halves; i = i + 1u) {
{{- range seq $v.Out}}
      let q{{.}} = half(v{{.}}, i){{if $v.Scaled}} * f{{.}}{{end}};
{{- end}}
{{- range $t := seq $v.Rows}}
      let x{{$t}}_ = xs[{{mul 64 $t}}u + 32u * i + l];
{{- range $r := seq $v.Out}}
      a{{$r}}_{{$t}} = fma(q{{$r}}.x, x{{$t}}_.x, fma(q{{$r}}.y, x{{$t}}_.y,
        fma(q{{$r}}.z, x{{$t}}_.z, fma(q{{$r}}.w, x{{$t}}_.w, a{{$r}}_{{$t}}))));
{{- end}}{{end}}
    }
  }
  // 16 sums at a time: each thread leaves its parts in a row of 5 vec4, adds up 4 rows of a column,
  // and then the eight results of that. Workgroup memory has room for four teams.
  let at = team % 4u * 192u;
{{- range $turn := seq $turns}}{{range $batch := $v.Batches}}
  workgroupBarrier();
  if (team / 4u == {{$turn}}u) {
{{- range $j, $s := $batch}}
    xs[at + l * 5u + {{$j}}u] = vec4<f32>(
      {{- range $i := seq 4}}{{if $i}}, {{end}}a{{$s.Out}}_{{add $s.Row $i}}{{end}});
{{- end}}
  }
  workgroupBarrier();
  if (team / 4u == {{$turn}}u) {
    let first = at + l / 4u * 20u + l % 4u;
    xs[at + 160u + l] = xs[first] + xs[first + 5u] + xs[first + 10u] + xs[first + 15u];
  }
  workgroupBarrier();
  if ((team / 4u == {{$turn}}u) && (l < 16u)) {
    var sum = 0.0;
    for (var i = 0u; i < 8u; i = i + 1u) { sum = sum + xs[at + 160u + i * 4u + l / 4u][l % 4u]; }
    let n = n0 + {{(index $batch 0).Out}}u + ({{(index $batch 0).Row}}u + l) / {{$v.Rows}}u;
    let t = ({{(index $batch 0).Row}}u + l) % {{$v.Rows}}u;
    if ((n < out) && (t < p.rows)) {
      let to = yo + w.z * p.stride + t * ldy + n;
{{- range $count}}
      {{if .}}else {{end}}if (which == {{.}}u) { y{{.}}[to] = sum; }
{{- end}}
    }
  }
{{- end}}{{end}}
}
{{- define "fetch_few"}}{{$v := .}}
  if (k0 < end) {
    let c = select(0u, k0 / 8u + l, k0 + l * 8u < p.width);
{{- range $which := seq .Count}}
    {{if $which}}else {{end}}if (which == {{$which}}u) {
{{- range seq $v.Out}}
      w{{.}} = w_{{$which}}[r{{.}} + c];
{{- end}}
{{- if $v.Scaled}}{{range seq $v.Out}}
      s{{.}} = scale{{$which}}(out, (r{{.}} + c) / 4u);
{{- end}}{{end}}
    }
{{- end}}
  }
{{- end}}
