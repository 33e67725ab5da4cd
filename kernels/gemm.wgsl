// C (+)= op(A)·op(B): c[i,j] = Σ_k a(i,k)·b(k,j), one tile of C to a workgroup, a range of k each
// 0 c write | 1 a read | 2 b read: a tensor or the rows of a weight | 3 scales of a q8 or q4 b, else b
// p {m, n, k, offset and row of c, of a, of b, whether to add, k of a range, partial sums' stride,
// scales, k where the scales' blocks begin}
// A tile is {{.TileM}}×{{.TileN}}: {{.TX}}×{{.TY}} threads with {{mul 4 .RM}}×{{mul 4 .RN}} numbers
// each; k goes by 16
struct P { m: u32, n: u32, k: u32, co: u32, ldc: u32, ao: u32, lda: u32, bo: u32, ldb: u32,
  acc: u32, range: u32, stride: u32, so: u32 }
{{- $v := .}}
{{- $weight := ne .Type ""}}{{$t := "f32"}}{{if .Vec}}{{$t = "vec4<f32>"}}{{end}}
@group(0) @binding(0) var<storage, read_write> c: array<{{$t}}>;
@group(0) @binding(1) var<storage, read> a: array<{{$t}}>;
@group(0) @binding(2) var<storage, read> b: array<{{if $weight}}Word{{else}}{{$t}}{{end}}>;
@group(0) @binding(3) var<storage, read> scales: array<f32>;
@group(0) @binding(4) var<uniform> p: P;
{{template "four" .}}
// The tiles of A and B, [16][tile], in vec4 along the tile, columns swapped so that neither the
// transposing writes nor the reads meet in a bank of memory.
var<workgroup> sa: array<vec4<f32>, {{mul 4 .TileM}}>;
var<workgroup> sb: array<vec4<f32>, {{mul 4 .TileN}}>;
fn swap(k4: u32, mask: u32) -> u32 { return (k4 << 1u) & mask; }
// Four numbers along a row of A from column j, zeros outside.
fn a4(row: u32, rows: u32, j: u32, end: u32) -> vec4<f32> {
  if ((row >= rows) || (j >= end)) { return vec4<f32>(0.0); }
{{- if .Vec}}
  return a[(p.ao + row * p.lda + j) / 4u];
{{- else}}
  let at = p.ao + row * p.lda + j;
  let n = end - j;
  return vec4<f32>(a[at], select(0.0, a[at + 1u], n > 1u), select(0.0, a[at + 2u], n > 2u),
    select(0.0, a[at + 3u], n > 3u));
{{- end}}
}
fn b4(row: u32, rows: u32, j: u32, end: u32) -> vec4<f32> {
  if ((row >= rows) || (j >= end)) { return vec4<f32>(0.0); }
{{- if $weight}}
  let at = row * p.ldb + j / 4u;
{{- if eq .Type "q8"}}
  return four(b[at]) * scales[p.so + at / 8u];
{{- else if eq .Type "q4"}}
  return four(b[at / 2u] >> (16u * (at & 1u))) * scales[p.so + at / 8u];
{{- else}}
  return four(b[at]);
{{- end}}
{{- else if .Vec}}
  return b[(p.bo + row * p.ldb + j) / 4u];
{{- else}}
  let at = p.bo + row * p.ldb + j;
  let n = end - j;
  return vec4<f32>(b[at], select(0.0, b[at + 1u], n > 1u), select(0.0, b[at + 2u], n > 2u),
    select(0.0, b[at + 3u], n > 3u));
{{- end}}
}
// Piece i of task t: four rows of four numbers of a tile. Where k runs along the rows of the
// matrix the four are transposed when they are put; else each is a row k of the tile.
fn load_a(t: u32, i: u32, m0: u32, k0: u32, end: u32) -> vec4<f32> {
{{- if .KA}}
  return a4(m0 + (t / 4u) * 4u + i, p.m, k0 + (t % 4u) * 4u, end);
{{- else}}
  return a4(k0 + (t / {{div .TileM 4}}u) * 4u + i, end, m0 + (t % {{div .TileM 4}}u) * 4u, p.m);
{{- end}}
}
fn load_b(t: u32, i: u32, n0: u32, k0: u32, end: u32) -> vec4<f32> {
{{- if .KB}}
  return b4(n0 + (t / 4u) * 4u + i, p.n, k0 + (t % 4u) * 4u, end);
{{- else}}
  return b4(k0 + (t / {{div .TileN 4}}u) * 4u + i, end, n0 + (t % {{div .TileN 4}}u) * 4u, p.n);
{{- end}}
}
fn put_a(t: u32, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) {
{{- $w := div .TileM 4}}
{{- if .KA}}
  let kb = (t % 4u) * {{mul 4 $w}}u;
  let at = kb + ((t / 4u) ^ swap(t % 4u, {{add $w -1}}u));
  sa[at] = vec4<f32>(v0.x, v1.x, v2.x, v3.x);
  sa[at + {{$w}}u] = vec4<f32>(v0.y, v1.y, v2.y, v3.y);
  sa[at + {{mul 2 $w}}u] = vec4<f32>(v0.z, v1.z, v2.z, v3.z);
  sa[at + {{mul 3 $w}}u] = vec4<f32>(v0.w, v1.w, v2.w, v3.w);
{{- else}}
  let kb = t / {{$w}}u;
  let at = kb * {{mul 4 $w}}u + ((t % {{$w}}u) ^ swap(kb, {{add $w -1}}u));
  sa[at] = v0;
  sa[at + {{$w}}u] = v1;
  sa[at + {{mul 2 $w}}u] = v2;
  sa[at + {{mul 3 $w}}u] = v3;
{{- end}}
}
fn put_b(t: u32, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) {
{{- $w = div .TileN 4}}
{{- if .KB}}
  let kb = (t % 4u) * {{mul 4 $w}}u;
  let at = kb + ((t / 4u) ^ swap(t % 4u, {{add $w -1}}u));
  sb[at] = vec4<f32>(v0.x, v1.x, v2.x, v3.x);
  sb[at + {{$w}}u] = vec4<f32>(v0.y, v1.y, v2.y, v3.y);
  sb[at + {{mul 2 $w}}u] = vec4<f32>(v0.z, v1.z, v2.z, v3.z);
  sb[at + {{mul 3 $w}}u] = vec4<f32>(v0.w, v1.w, v2.w, v3.w);
{{- else}}
  let kb = t / {{$w}}u;
  let at = kb * {{mul 4 $w}}u + ((t % {{$w}}u) ^ swap(kb, {{add $w -1}}u));
  sb[at] = v0;
  sb[at + {{$w}}u] = v1;
  sb[at + {{mul 2 $w}}u] = v2;
  sb[at + {{mul 3 $w}}u] = v3;
{{- end}}
}
// Row i of C from column j.
fn put_c(z: u32, i: u32, j: u32, v: vec4<f32>) {
  if ((i >= p.m) || (j >= p.n)) { return; }
  let at = z * p.stride + p.co + i * p.ldc + j;
{{- if .Vec}}
  if (p.acc != 0u) { c[at / 4u] = c[at / 4u] + v; } else { c[at / 4u] = v; }
{{- else}}
  var old = vec4<f32>(0.0);
  let n = p.n - j;
  if (p.acc != 0u) {
    old = vec4<f32>(c[at], select(0.0, c[at + 1u], n > 1u), select(0.0, c[at + 2u], n > 2u),
      select(0.0, c[at + 3u], n > 3u));
  }
  old = old + v;
  c[at] = old.x;
  if (n > 1u) { c[at + 1u] = old.y; }
  if (n > 2u) { c[at + 2u] = old.z; }
  if (n > 3u) { c[at + 3u] = old.w; }
{{- end}}
}
@compute @workgroup_size({{.TX}}, {{.TY}})
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) l: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let n0 = w.x * {{.TileN}}u;
  let m0 = w.y * {{.TileM}}u;
  let end = min(p.k, (w.z + 1u) * p.range);
{{- range $i := seq (mul 4 .RM)}}{{range seq $v.RN}}
  var c{{$i}}_{{.}} = vec4<f32>(0.0);
{{- end}}{{end}}
{{- range $i := seq .Rounds}}{{range seq 4}}
  var v{{$i}}_{{.}} = vec4<f32>(0.0);
{{- end}}{{end}}
  var k0 = w.z * p.range;
{{template "fetch" .}}
  while (k0 < end) {
{{- range $i := seq .Rounds}}
    {{$task := printf "(lane + %du)" (mul $i $v.GemmThreads) -}}
    {{$args := printf "v%d_0, v%d_1, v%d_2, v%d_3" $i $i $i $i -}}
    if ({{$task}} < {{$v.TileM}}u) { put_a({{$task}}, {{$args}}); }
    else if ({{$task}} < {{add $v.TileM $v.TileN}}u) {
      put_b({{$task}} - {{$v.TileM}}u, {{$args}});
    }
{{- end}}
    workgroupBarrier();
    k0 = k0 + 16u;
    if (k0 < end) {
{{template "fetch" .}}
    }
    for (var k4 = 0u; k4 < 4u; k4 = k4 + 1u) {
      let ka = swap(k4, {{add (div $v.TileM 4) -1}}u);
      let kb = swap(k4, {{add (div $v.TileN 4) -1}}u);
{{- range $k := seq 4}}
      {
{{- range seq $v.RM}}
        let a{{.}} = sa[k4 * {{$v.TileM}}u + {{div (mul $k $v.TileM) 4}}u +
          ((l.y + {{mul . $v.TY}}u) ^ ka)];
{{- end}}
{{- range seq $v.RN}}
        let b{{.}} = sb[k4 * {{$v.TileN}}u + {{div (mul $k $v.TileN) 4}}u +
          ((l.x + {{mul . $v.TX}}u) ^ kb)];
{{- end}}
{{- range $i := seq (mul 4 $v.RM)}}{{range seq $v.RN}}
        c{{$i}}_{{.}} = fma(vec4<f32>(a{{div $i 4}}[{{mod $i 4}}]), b{{.}}, c{{$i}}_{{.}});
{{- end}}{{end}}
      }
{{- end}}
    }
    workgroupBarrier();
  }
{{- range $i := seq (mul 4 .RM)}}{{range seq $v.RN}}
  put_c(w.z, m0 + (l.y + {{mul (div $i 4) $v.TY}}u) * 4u + {{mod $i 4}}u,
    n0 + (l.x + {{mul . $v.TX}}u) * 4u, c{{$i}}_{{.}});
{{- end}}{{end}}
}
{{- define "fetch"}}{{$v := .}}
{{- range $i := seq .Rounds}}
    {{$task := printf "(lane + %du)" (mul $i $v.GemmThreads) -}}
    if ({{$task}} < {{$v.TileM}}u) {
{{- range seq 4}}
      v{{$i}}_{{.}} = load_a({{$task}}, {{.}}u, m0, k0, end);
{{- end}}
    } else if ({{$task}} < {{add $v.TileM $v.TileN}}u) {
{{- range seq 4}}
      v{{$i}}_{{.}} = load_b({{$task}} - {{$v.TileM}}u, {{.}}u, n0, k0, end);
{{- end}}
    }
{{- end}}
{{- end}}
