// dx[t,k] (+)= Σ_n dy[t,n]·w[n,k] for {{.Rows}} rows of dy, each weight read once
// 0 dx [T in] update, or [ranges T in] partial sums | 1 dy [T out] read | 2 w [out in] read, as
// pack left it
// p {rows of w, vec4 of a row, in, offset of dx, of dy, row of dy, first and last row of dy, rows
// of a range, whether to add, stride of a range}
// 256 threads to (32 vec4 of columns, range of rows of w): 8 share the rows
{{- $per := .Per}}
{{- $scaled := .Scaled}}{{$v := .}}
struct P { out: u32, w4: u32, width: u32, xo: u32, yo: u32, ldy: u32, row: u32, last: u32,
  range: u32, acc: u32, stride: u32 }
@group(0) @binding(0) var<storage, read_write> dx: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> w_: array<vec4<u32>>;
@group(0) @binding(3) var<uniform> p: P;
var<workgroup> red: array<vec4<f32>, 256>;
{{template "part" .}}
fn put(at: u32, v: f32) {
  if (p.acc != 0u) { dx[at] = dx[at] + v; } else { dx[at] = v; }
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let c = w.x * 32u + lane % 32u;
  let end = min(p.out, (w.y + 1u) * p.range);
  var n = w.y * p.range + lane / 32u;
{{- range $t := seq .Rows}}
  let t{{$t}} = p.yo + min(p.row + {{$t}}u, p.last) * p.ldy;
{{- range seq $per}}
  var a{{$t}}_{{.}} = vec4<f32>(0.0);
{{- end}}{{end}}
  if (c < p.w4) {
{{- range $unroll := .Steps}}
    while (n + {{mul 8 (add $unroll -1)}}u < end) {
{{- range $u := seq $unroll}}
      let w{{$u}} = w_[(n + {{mul 8 $u}}u) * p.w4 + c];
{{- end}}
{{- range $u := seq $unroll}}
      {
        let row = n + {{mul 8 $u}}u;
{{- if $scaled}}
        let b = (row * p.w4 + c) / {{$v.Parts}}u;
        let s = bitcast<f32>(pick(w_[p.out * p.w4 + b / 4u], b % 4u));
{{- end}}
{{- range $t := seq $v.Rows}}
        let y{{$t}} = dy[t{{$t}} + row]{{if $scaled}} * s{{end}};
{{- range $i := seq $per}}
        a{{$t}}_{{$i}} = fma(vec4<f32>(y{{$t}}), part(w{{$u}}, {{$i}}u), a{{$t}}_{{$i}});
{{- end}}{{end}}
      }
{{- end}}
      n = n + {{mul 8 $unroll}}u;
    }
{{- end}}
  }
{{- range $t := seq .Rows}}{{range $i := seq $per}}
  red[lane] = a{{$t}}_{{$i}};
  workgroupBarrier();
  if ((lane < 32u) && (c < p.w4) && (p.row + {{$t}}u <= p.last)) {
    var s = red[lane];
    for (var e = 1u; e < 8u; e = e + 1u) { s = s + red[e * 32u + lane]; }
    let k = (c * {{$per}}u + {{$i}}u) * 4u;
    let at = p.xo + w.y * p.stride + (p.row + {{$t}}u) * p.width + k;
    if (k < p.width) { put(at, s.x); }
    if (k + 1u < p.width) { put(at + 1u, s.y); }
    if (k + 2u < p.width) { put(at + 2u, s.z); }
    if (k + 3u < p.width) { put(at + 3u, s.w); }
  }
  workgroupBarrier();
{{- end}}{{end}}
}
