// y[t,n] = Σ_k x[t,k]·w[n,k] for {{.Rows}} rows of x and {{.Count}} weights, each read once
// 0.. y [T out] write, one a weight | x [T in] read | w [out in] read, one a weight, as
// pack left it
// p {vec4 of a row of w, in, offset of x, first and last row of x; and of each weight: outputs,
// offset of y, width of y}
// {{.Out}} outputs to a workgroup of 64 threads, which share the inputs
{{- $count := seq .Count}}{{$sums := mul .Out .Rows}}
struct P { w4: u32, width: u32, xo: u32, row: u32, last: u32
{{- range $count}}, out{{.}}: u32, yo{{.}}: u32, ldy{{.}}: u32{{end}} }
{{- range $count}}
@group(0) @binding({{.}}) var<storage, read_write> y{{.}}: array<f32>;
{{- end}}
@group(0) @binding({{.Count}}) var<storage, read> x: array<{{if .Vec}}vec4<f32>{{else}}f32{{end}}>;
{{- range $count}}
@group(0) @binding({{add (add $.Count 1) .}}) var<storage, read> w_{{.}}: array<vec4<u32>>;
{{- end}}
@group(0) @binding({{add (mul 2 .Count) 1}}) var<uniform> p: P;
var<workgroup> red: array<f32, {{mul 64 $sums}}>;
{{- $per := 1}}{{if eq .Type "q8"}}{{$per = 4}}{{else if ne .Type "f32"}}{{$per = 2}}{{end}}
{{- $q8 := eq .Type "q8"}}
{{- $v := .}}
{{template "part" .}}
{{template "vector" .}}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
{{- range seq .Rows}}
  let t{{.}} = min(p.row + {{.}}u, p.last);
{{- end}}
  var group = w.y * grid.x + w.x;
{{- range $which := $count}}
  let groups{{$which}} = (p.out{{$which}} + {{add $v.Out -1}}u) / {{$v.Out}}u;
  if (group < groups{{$which}}) {
    let n0 = group * {{$v.Out}}u;
{{- range seq $v.Out}}
    let r{{.}} = min(n0 + {{.}}u, p.out{{$which}} - 1u) * p.w4;
{{- $r := .}}{{range seq $v.Rows}}
    var a{{$r}}_{{.}} = 0.0;
{{- end}}{{end}}
    var c = lane;
{{- range $unroll := $v.Steps}}
    while (c + {{mul 64 (add $unroll -1)}}u < p.w4) {
{{- range $u := seq $unroll}}{{range seq $v.Out}}
      let w{{$u}}_{{.}} = w_{{$which}}[r{{.}} + c + {{mul 64 $u}}u];
{{- end}}{{end}}
{{- range $u := seq $unroll}}
      {
        let k = (c + {{mul 64 $u}}u) * {{$per}}u;
{{- if $q8}}{{range seq $v.Out}}
        let b{{.}} = (r{{.}} + c + {{mul 64 $u}}u) / 2u;
        let s{{.}} = bitcast<f32>(pick(w_{{$which}}[p.out{{$which}} * p.w4 + b{{.}} / 4u],
          b{{.}} % 4u));
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
{{- range $i := seq $per}}{{if $i}} + {{end -}}
          dot(part(w{{$u}}_{{$r}}, {{$i}}u), x{{$t}}_{{$i}}){{end}}
{{- if $q8}}){{end}};
{{- end}}{{end}}
      }
{{- end}}
      c = c + {{mul 64 $unroll}}u;
    }
{{- end}}
{{- range $r := seq $v.Out}}{{range $t := seq $v.Rows}}
    red[lane * {{$sums}}u + {{add (mul $r $v.Rows) $t}}u] = a{{$r}}_{{$t}};
{{- end}}{{end}}
    workgroupBarrier();
    for (var step = {{mul 32 $sums}}u; step >= {{$sums}}u; step = step >> 1u) {
      for (var i = lane; i < step; i = i + 64u) { red[i] = red[i] + red[i + step]; }
      workgroupBarrier();
    }
    for (var i = lane; i < {{$sums}}u; i = i + 64u) {
      let n = n0 + i / {{$v.Rows}}u;
      let t = p.row + i % {{$v.Rows}}u;
      if ((n < p.out{{$which}}) && (t <= p.last)) {
        y{{$which}}[p.yo{{$which}} + t * p.ldy{{$which}} + n] = red[i];
      }
    }
    return;
  }
  group = group - groups{{$which}};
{{- end}}
}
