// y[t,n] = Σ_k x[t,k]·w[n,k] for up to {{.Rows}} rows of x and {{.Count}} weights, each read once
// 0.. y [T out] write, one a weight | x [T in] read | w [out in] read, one a weight, as pack left it
// p {vec4 of a row of w, in, offset of x, rows; and of each weight: outputs, offset of y, width of y}
// 64 threads to {{mul 2 .Out}} outputs: 32 to {{.Out}}, each with 8 of every 256 numbers of the rows. The
// rows of x, which all outputs take, lie in workgroup memory, 256 numbers at a time
{{- $v := .}}{{$count := seq .Count}}
struct P { w4: u32, width: u32, xo: u32, rows: u32
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
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let l = lane % 32u;
  let team = lane / 32u;
  var group = w.y * grid.x + w.x;
{{- range $which := $count}}
  let groups{{$which}} = (p.out{{$which}} + {{add (mul 2 $v.Out) -1}}u) / {{mul 2 $v.Out}}u;
  if (group < groups{{$which}}) {
    let n0 = (group * 2u + team) * {{$v.Out}}u;
    let width = p.w4 * {{$v.Eights}}u;
{{- range $r := seq $v.Out}}
    let r{{$r}} = min(n0 + {{$r}}u, p.out{{$which}} - 1u) * width;
{{- range seq $v.Rows}}
    var a{{$r}}_{{.}} = 0.0;
{{- end}}{{end}}
    for (var k0 = 0u; k0 < p.width; k0 = k0 + 256u) {
      let inside = k0 + l * 8u < p.width;
      let c = select(0u, k0 / 8u + l, inside);
{{- range seq $v.Out}}
      let w{{.}} = w_{{$which}}[r{{.}} + c];
{{- end}}
{{- if $v.Scaled}}{{range seq $v.Out}}
      let s{{.}} = scale{{$which}}(p.out{{$which}}, (r{{.}} + c) / 4u);
{{- end}}{{end}}
      workgroupBarrier();
      let k = k0 + lane * 4u;
{{- range seq $v.Rows}}
      var x{{.}} = vec4<f32>(0.0);
      if (({{.}}u < p.rows) && (k < p.width)) { x{{.}} = x[(p.xo + {{.}}u * p.width + k) / 4u]; }
{{- end}}
{{- range seq $v.Rows}}
      xs[{{mul 64 .}}u + (lane % 2u) * 32u + lane / 2u] = x{{.}};
{{- end}}
      workgroupBarrier();
{{- range $i := seq 2}}
      {
{{- range seq $v.Out}}
        let q{{.}} = half{{$i}}(w{{.}}){{if $v.Scaled}} * s{{.}}{{end}};
{{- end}}
{{- range $t := seq $v.Rows}}
        let x{{$t}}_ = xs[{{add (mul 64 $t) (mul 32 $i)}}u + l];
{{- range $r := seq $v.Out}}
        a{{$r}}_{{$t}} = fma(q{{$r}}.x, x{{$t}}_.x, fma(q{{$r}}.y, x{{$t}}_.y,
          fma(q{{$r}}.z, x{{$t}}_.z, fma(q{{$r}}.w, x{{$t}}_.w, a{{$r}}_{{$t}}))));
{{- end}}{{end}}
      }
{{- end}}
    }
    // 32 sums at a time: each thread leaves its parts in a row of 9 vec4, adds up 8 rows of a
    // column, and then the four results of that.
    let at = team * 288u;
    let col = l % 8u;
    let part = l / 8u;
{{- range $batch := $v.Batches}}
    workgroupBarrier();
{{- range $j, $s := $batch}}
    xs[at + l * 9u + {{$j}}u] = vec4<f32>(
      {{- range $i := seq 4}}{{if $i}}, {{end}}a{{$s.Out}}_{{add $s.Row $i}}{{end}});
{{- end}}
    workgroupBarrier();
    {
      var sum = vec4<f32>(0.0);
      for (var i = 0u; i < 8u; i = i + 1u) { sum = sum + xs[at + (part * 8u + i) * 9u + col]; }
      xs[576u + lane] = sum;
    }
    workgroupBarrier();
    {
      let first = 576u + team * 32u + l / 4u;
      let sum = xs[first][l % 4u] + xs[first + 8u][l % 4u] + xs[first + 16u][l % 4u] +
        xs[first + 24u][l % 4u];
      let n = n0 + {{(index $batch 0).Out}}u + l / {{$v.Rows}}u;
      let t = l % {{$v.Rows}}u;
      if ((n < min(p.out{{$which}}, n0 + {{$v.Out}}u)) && (t < p.rows)) {
        y{{$which}}[p.yo{{$which}} + t * p.ldy{{$which}} + n] = sum;
      }
    }
{{- end}}
    return;
  }
  group = group - groups{{$which}};
{{- end}}
}
