// y[t,n] = Σ_k x[t,k]·w[n,k] for {{.Rows}} rows of x and {{.Count}} weights, each read once
// 0.. y [T out] write, one a weight | x [T in] read | w [out in] read, one a weight, as
// pack left it
// p {vec4 of a row of w, in, offset of x, first and last row of x; and of each weight: outputs,
// offset of y, width of y}
// {{.Out}} outputs to a workgroup of {{.Threads}} threads, which share the inputs
{{- if .Norm}}
// x is g∘x' of a norm of x': r = 1/√(mean x'² + eps) multiplies the sums | squares read, the parts
// of Σ x'² | h [in] write, the norm, x·r
{{- end}}
{{- if .Sum}}
// z [T out] update: z += y, or y += z
{{- end}}
{{- if .Gain}}
// what a norm of that sum needs | g [out] read, gained [out] write, g∘sum | squares write, the sum's
// squares added up in each workgroup
{{- end}}
{{- $v := .}}{{$count := seq .Count}}{{$sums := mul .Out .Rows}}{{$all := $sums}}
{{- if .Norm}}{{$all = add $sums 1}}{{end}}
{{- $t := "f32"}}{{$step := 1}}{{if .Vec}}{{$t = "vec4<f32>"}}{{$step = 4}}{{end}}
struct P { w4: u32, width: u32, xo: u32, row: u32, last: u32
{{- range $count}}, out{{.}}: u32, yo{{.}}: u32, ldy{{.}}: u32{{end}}
{{- if .Norm}}, ho: u32, parts: u32, eps: f32{{end}}{{if .Sum}}, zo: u32, into: u32{{end}}
{{- if .Gain}}, go: u32{{end}} }
{{- range $count}}
@group(0) @binding({{.}}) var<storage, read_write> y{{.}}: array<f32>;
{{- end}}
@group(0) @binding({{.Count}}) var<storage, read> x: array<{{$t}}>;
{{- range $count}}
@group(0) @binding({{add (add $.Count 1) .}}) var<storage, read> w_{{.}}: array<vec4<u32>>;
{{- end}}
{{- $next := add (mul 2 .Count) 1}}
{{- if .Norm}}
@group(0) @binding({{$next}}) var<storage, read> squares: array<f32>;
@group(0) @binding({{add $next 1}}) var<storage, read_write> h: array<{{$t}}>;
{{- $next = add $next 2}}{{end}}
{{- if .Sum}}
@group(0) @binding({{$next}}) var<storage, read_write> z: array<f32>;
{{- $next = add $next 1}}{{end}}
{{- if .Gain}}
@group(0) @binding({{$next}}) var<storage, read> g: array<f32>;
@group(0) @binding({{add $next 1}}) var<storage, read_write> gained: array<f32>;
@group(0) @binding({{add $next 2}}) var<storage, read_write> squares: array<f32>;
{{- $next = add $next 3}}{{end}}
@group(0) @binding({{$next}}) var<uniform> p: P;
var<workgroup> red: array<f32, {{mul .Threads $all}}>;
{{- $per := .Per}}
{{- $scaled := .Scaled}}
{{template "part" .}}
{{template "vector" .}}
{{- if .Norm}}{{template "squares" .}}{{end}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
{{- if .Norm}}{{template "ask" .}}{{end}}
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
    while (c + {{mul $v.Threads (add $unroll -1)}}u < p.w4) {
{{- range $u := seq $unroll}}{{range seq $v.Out}}
      let w{{$u}}_{{.}} = w_{{$which}}[r{{.}} + c + {{mul $v.Threads $u}}u];
{{- end}}{{end}}
{{- range $u := seq $unroll}}
      {
        let k = (c + {{mul $v.Threads $u}}u) * {{$per}}u;
{{- if $scaled}}{{range seq $v.Out}}
        let b{{.}} = (r{{.}} + c + {{mul $v.Threads $u}}u) / {{$v.Parts}}u;
        let s{{.}} = bitcast<f32>(pick(w_{{$which}}[p.out{{$which}} * p.w4 + b{{.}} / 4u],
          b{{.}} % 4u));
{{- end}}{{end}}
{{- if gt $v.Rows 1}}
{{- range $i := seq $per}}
        {
{{- range $t := seq $v.Rows}}
{{- if or $v.Vec (eq $i 0)}}
          let x{{$t}} = four(t{{$t}}, k + {{$i}}u);
{{- else}}
          var x{{$t}} = vec4<f32>(0.0);
          if (4u * (k + {{$i}}u) < p.width) { x{{$t}} = four(t{{$t}}, k + {{$i}}u); }
{{- end}}{{end}}
{{- range $r := seq $v.Out}}
          let q{{$r}} = part(w{{$u}}_{{$r}}, {{$i}}u){{if $scaled}} * s{{$r}}{{end}};
{{- range $t := seq $v.Rows}}
          a{{$r}}_{{$t}} = a{{$r}}_{{$t}} + dot(q{{$r}}, x{{$t}});
{{- end}}{{end}}
        }
{{- end}}
{{- else}}
{{- range $t := seq $v.Rows}}
{{- range $i := seq $per}}
{{- if or $v.Vec (eq $i 0)}}
        var x{{$t}}_{{$i}} = four(t{{$t}}, k + {{$i}}u);
{{- else}}
        var x{{$t}}_{{$i}} = vec4<f32>(0.0);
        if (4u * (k + {{$i}}u) < p.width) { x{{$t}}_{{$i}} = four(t{{$t}}, k + {{$i}}u); }
{{- end}}
{{- end}}
{{- range $r := seq $v.Out}}
        a{{$r}}_{{$t}} = a{{$r}}_{{$t}} + {{if $scaled}}s{{$r}} * ({{end}}
{{- range $i := seq $per}}{{if $i}} + {{end -}}
          dot(part(w{{$u}}_{{$r}}, {{$i}}u), x{{$t}}_{{$i}}){{end}}
{{- if $scaled}}){{end}};
{{- end}}{{end}}
{{- end}}
      }
{{- end}}
      c = c + {{mul $v.Threads $unroll}}u;
    }
{{- end}}
{{- range $r := seq $v.Out}}{{range $t := seq $v.Rows}}
    red[lane * {{$all}}u + {{add (mul $r $v.Rows) $t}}u] = a{{$r}}_{{$t}};
{{- end}}{{end}}
{{- if $v.Norm}}
{{- template "answer" $v}}
    red[lane * {{$all}}u + {{$sums}}u] = square;
{{- end}}
    workgroupBarrier();
    for (var step = {{mul (div $v.Threads 2) $all}}u; step >= {{$all}}u; step = step >> 1u) {
      for (var i = lane; i < step; i = i + {{$v.Threads}}u) { red[i] = red[i] + red[i + step]; }
      workgroupBarrier();
    }
{{- if $v.Norm}}
    let r = inverseSqrt(red[{{$sums}}] / f32(p.width) + p.eps);
    let workgroups = {{range $i := $count}}{{if $i}} + {{end -}}
      (p.out{{$i}} + {{add $v.Out -1}}u) / {{$v.Out}}u{{end}};
    for (var j = (w.y * grid.x + w.x) * {{$v.Threads}}u + lane; j < p.width / {{$step}}u;
      j = j + workgroups * {{$v.Threads}}u) {
      h[p.ho / {{$step}}u + j] = x[p.xo / {{$step}}u + j] * r;
    }
{{- end}}
    for (var i = lane; i < {{$sums}}u; i = i + {{$v.Threads}}u) {
      let n = n0 + i / {{$v.Rows}}u;
      let t = p.row + i % {{$v.Rows}}u;
      if ((n < p.out{{$which}}) && (t <= p.last)) {
        var sum = red[i]{{if $v.Norm}} * r{{end}};
{{- if $v.Sum}}
        let at = p.zo + t * p.ldy{{$which}} + n;
        let whole = sum + z[at];
        if (p.into != 0u) { z[at] = whole; } else { sum = whole; }
{{- if $v.Gain}}
        gained[n] = whole * g[p.go + n];
        red[i] = whole * whole;
{{- end}}{{end}}
        y{{$which}}[p.yo{{$which}} + t * p.ldy{{$which}} + n] = sum;
      }{{if $v.Gain}} else { red[i] = 0.0; }{{end}}
    }
{{- if $v.Gain}}
    workgroupBarrier();
    if (lane == 0u) {
      squares[group] = {{range $i := seq $v.Out}}{{if $i}} + {{end}}red[{{$i}}]{{end}};
    }
{{- end}}
    return;
  }
  group = group - groups{{$which}};
{{- end}}
}
