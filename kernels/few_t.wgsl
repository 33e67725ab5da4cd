// dx[t,k] (+)= Σ_n dy[t,n]·w[n,k] for up to {{.Rows}} rows of dy, each weight read once
// 0 dx [T in] update, or [ranges T in] partial sums | 1 dy [T out] read | 2 w [out in] read, as
// pack left it
// p {rows of w, vec4 of a row, in, offset of dx, of dy, row of dy, rows, rows of w of a range,
// whether to add, stride of a range}
// 256 threads to (256 columns, range of rows of w): 32 to 8 columns each and every eighth row. What
// they take of dy lies in workgroup memory, 64 rows of w at a time
{{- $v := .}}{{$quads := seq (div .Rows 4)}}{{$n := div .Rows 4}}
struct P { out: u32, w4: u32, width: u32, xo: u32, yo: u32, ldy: u32, rows: u32, range: u32,
  acc: u32, stride: u32 }
@group(0) @binding(0) var<storage, read_write> dx: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> w_0: array<Eight>;
@group(0) @binding(3) var<uniform> p: P;
{{template "eight" .}}
// Four rows of dy at a time: those of number n of the chunk at {{$n}}n. At the end, parts of sums.
var<workgroup> ys: array<vec4<f32>, 512>;
fn dy4(t: u32, n: u32, end: u32) -> vec4<f32> {
  if (n >= end) { return vec4<f32>(0.0); }
  let at = p.yo + t * p.ldy + n;
  return vec4<f32>(select(0.0, dy[at], t < p.rows), select(0.0, dy[at + p.ldy], t + 1u < p.rows),
    select(0.0, dy[at + 2u * p.ldy], t + 2u < p.rows),
    select(0.0, dy[at + 3u * p.ldy], t + 3u < p.rows));
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let c = w.x * 32u + lane % 32u;
  let inside = c * 8u < p.width;
  let eights = p.w4 * {{.Eights}}u;
  let team = lane / 32u;
  let end = min(p.out, (w.y + 1u) * p.range);
{{- range seq .Rows}}
  var a{{.}}_0 = vec4<f32>(0.0);
  var a{{.}}_1 = vec4<f32>(0.0);
{{- end}}
  for (var chunk = w.y * p.range; chunk < end; chunk = chunk + 64u) {
{{- range $u := seq 8}}
    let n{{$u}} = min(chunk + {{mul 8 $u}}u + team, p.out - 1u);
    let w{{$u}} = w_0[n{{$u}} * eights + select(0u, c, inside)];
{{- end}}
    workgroupBarrier();
    if (lane < {{mul 64 $n}}u) {
      ys[(lane % 64u) * {{$n}}u + lane / 64u] = dy4(lane / 64u * 4u, chunk + lane % 64u, end);
    }
    workgroupBarrier();
{{- range $u := seq 8}}
    {
      let q0 = half(w{{$u}}, 0u){{if $v.Scaled}} * scale0(p.out, (n{{$u}} * eights + c) / 4u){{end}};
      let q1 = half(w{{$u}}, 1u){{if $v.Scaled}} * scale0(p.out, (n{{$u}} * eights + c) / 4u){{end}};
      let at = ({{mul 8 $u}}u + team) * {{$n}}u;
{{- range $t := $quads}}
      let y{{$t}} = ys[at + {{$t}}u];
{{- range $i := seq 4}}
      a{{add (mul 4 $t) $i}}_0 = fma(vec4<f32>(y{{$t}}[{{$i}}]), q0, a{{add (mul 4 $t) $i}}_0);
      a{{add (mul 4 $t) $i}}_1 = fma(vec4<f32>(y{{$t}}[{{$i}}]), q1, a{{add (mul 4 $t) $i}}_1);
{{- end}}{{end}}
    }
{{- end}}
  }
{{- range $t := seq .Rows}}
  workgroupBarrier();
  ys[lane] = a{{$t}}_0;
  ys[256u + lane] = a{{$t}}_1;
  workgroupBarrier();
  if ((lane < 64u) && (w.x * 256u + lane * 4u < p.width) && ({{$t}}u < p.rows)) {
    let first = (lane % 2u) * 256u + lane / 2u;
    var s = ys[first];
    for (var e = 1u; e < 8u; e = e + 1u) { s = s + ys[first + e * 32u]; }
    let at = (p.xo + w.y * p.stride + {{$t}}u * p.width + w.x * 256u) / 4u + lane;
    if (p.acc != 0u) { s = s + dx[at]; }
    dx[at] = s;
  }
{{- end}}
}
