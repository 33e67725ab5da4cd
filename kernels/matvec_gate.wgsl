// gate[t,n] = Σ_k x[t,k]·g[n,k], up likewise, s = silu(gate)∘up, for {{.Rows}} rows of x
// 0 gate [T out] write | 1 up [T out] write | 2 s [T out] write | 3 x [T in] read
// 4 g [out in] read | 5 u [out in] read, as pack left them
// p {vec4 of a row of w, in, offset of x, first and last row of x, outputs, offsets of gate, up, s}
// {{.Out}} outputs of both to a workgroup of {{.Threads}} threads, which share the inputs
{{- if .Norm}}
// x is what a norm left, as in matvec | 6 squares read | 7 h [in] write, the norm
{{- end}}
{{- $v := .}}{{$both := mul 2 .Out}}{{$sums := mul $both .Rows}}{{$all := $sums}}
{{- if .Norm}}{{$all = add $sums 1}}{{end}}
{{- $t := "f32"}}{{$step := 1}}{{if .Vec}}{{$t = "vec4<f32>"}}{{$step = 4}}{{end}}
{{- $per := .Per}}
{{- $scaled := .Scaled}}
struct P { w4: u32, width: u32, xo: u32, row: u32, last: u32, out: u32, gateo: u32, uo: u32, so: u32
{{- if .Norm}}, ho: u32, parts: u32, eps: f32{{end}} }
@group(0) @binding(0) var<storage, read_write> gate: array<f32>;
@group(0) @binding(1) var<storage, read_write> up: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<{{$t}}>;
@group(0) @binding(4) var<storage, read> w_0: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> w_1: array<vec4<u32>>;
{{- if .Norm}}
@group(0) @binding(6) var<storage, read> squares: array<f32>;
@group(0) @binding(7) var<storage, read_write> h: array<{{$t}}>;
@group(0) @binding(8) var<uniform> p: P;
{{- else}}
@group(0) @binding(6) var<uniform> p: P;
{{- end}}
var<workgroup> red: array<f32, {{mul .Threads $all}}>;
{{template "part" .}}
{{template "vector" .}}
{{- if .Norm}}{{template "squares" .}}{{end}}
{{template "silu"}}
@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
{{- if .Norm}}{{template "ask" .}}{{end}}
  let n0 = (w.y * grid.x + w.x) * {{.Out}}u;
  if (n0 >= p.out) { return; }
{{- range seq .Rows}}
  let t{{.}} = min(p.row + {{.}}u, p.last);
{{- end}}
{{- range $r := seq $both}}
  let r{{$r}} = min(n0 + {{mod $r $v.Out}}u, p.out - 1u) * p.w4;
{{- range seq $v.Rows}}
  var a{{$r}}_{{.}} = 0.0;
{{- end}}{{end}}
  var c = lane;
{{- range $unroll := .Steps}}
  while (c + {{mul $v.Threads (add $unroll -1)}}u < p.w4) {
{{- range $u := seq $unroll}}{{range seq $both}}
    let w{{$u}}_{{.}} = w_{{div . $v.Out}}[r{{.}} + c + {{mul $v.Threads $u}}u];
{{- end}}{{end}}
{{- range $u := seq $unroll}}
    {
      let k = (c + {{mul $v.Threads $u}}u) * {{$per}}u;
{{- if $scaled}}{{range seq $both}}
      let b{{.}} = (r{{.}} + c + {{mul $v.Threads $u}}u) / {{$v.Parts}}u;
      let s{{.}} = bitcast<f32>(pick(w_{{div . $v.Out}}[p.out * p.w4 + b{{.}} / 4u], b{{.}} % 4u));
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
{{- range $r := seq $both}}
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
{{- range $r := seq $both}}
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
{{- range $r := seq $both}}{{range $t := seq $v.Rows}}
  red[lane * {{$all}}u + {{add (mul $r $v.Rows) $t}}u] = a{{$r}}_{{$t}};
{{- end}}{{end}}
{{- if .Norm}}
{{- template "answer" $v}}
  red[lane * {{$all}}u + {{$sums}}u] = square;
{{- end}}
  workgroupBarrier();
  for (var step = {{mul (div $v.Threads 2) $all}}u; step >= {{$all}}u; step = step >> 1u) {
    for (var i = lane; i < step; i = i + {{$v.Threads}}u) { red[i] = red[i] + red[i + step]; }
    workgroupBarrier();
  }
{{- if .Norm}}
  let r = inverseSqrt(red[{{$sums}}] / f32(p.width) + p.eps);
  let workgroups = (p.out + {{add .Out -1}}u) / {{.Out}}u;
  for (var j = (w.y * grid.x + w.x) * {{.Threads}}u + lane; j < p.width / {{$step}}u;
    j = j + workgroups * {{.Threads}}u) {
    h[p.ho / {{$step}}u + j] = x[p.xo / {{$step}}u + j] * r;
  }
{{- end}}
  for (var i = lane; i < {{div $sums 2}}u; i = i + {{$v.Threads}}u) {
    let n = n0 + i / {{.Rows}}u;
    let t = p.row + i % {{.Rows}}u;
    if ((n < p.out) && (t <= p.last)) {
      let a = red[i]{{if .Norm}} * r{{end}};
      let b = red[i + {{div $sums 2}}u]{{if .Norm}} * r{{end}};
      let at = t * p.out + n;
      gate[p.gateo + at] = a;
      up[p.uo + at] = b;
      y[p.so + at] = a * sigmoid(a) * b;
    }
  }
}
