// x(i,·) = Σ_k r[q,k,i]·x(k,·) for the 64 vectors of the pair of blocks q, where the pair turns
// 0 x, rows of vectors, update | 1 r [pairs 64 64] read | 2 turns [pairs] read
// p {row of x in vec4, blocks, lap}
// 16×8 threads to 128 columns of a pair, 8×8 numbers each; they read all before they write
struct P { ldx: u32, blocks: u32, lap: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> r: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> turns: array<u32>;
@group(0) @binding(3) var<uniform> p: P;
{{template "tournament"}}
// 16 of k: the columns of r, and those of x.
var<workgroup> left: array<vec4<f32>, 256>;
var<workgroup> right: array<vec4<f32>, 512>;
@compute @workgroup_size(16, 8)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) l: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  if (turns[w.y] == 0u) { return; }
  let pair = meet(w.y, p.lap, p.blocks);
  let column = w.x * 32u;
{{- range $i := seq 8}}{{range seq 2}}
  var c{{$i}}_{{.}} = vec4<f32>(0.0);
{{- end}}{{end}}
  for (var k0 = 0u; k0 < 64u; k0 = k0 + 16u) {
    var first = pair.x * 32u + k0;
    if (k0 >= 32u) { first = pair.y * 32u + k0 - 32u; }
{{- range seq 2}}
    left[lane + {{mul . 128}}u] = r[w.y * 1024u + k0 * 16u + lane + {{mul . 128}}u];
{{- end}}
{{- range seq 4}}
    right[lane + {{mul . 128}}u] =
      x[(first + lane / 32u + {{mul . 4}}u) * p.ldx + column + lane % 32u];
{{- end}}
    workgroupBarrier();
    for (var k = 0u; k < 16u; k = k + 1u) {
      let a0 = left[k * 16u + l.y];
      let a1 = left[k * 16u + l.y + 8u];
      let b0 = right[k * 32u + l.x];
      let b1 = right[k * 32u + l.x + 16u];
{{- range $i := seq 8}}{{range seq 2}}
      c{{$i}}_{{.}} = fma(vec4<f32>(a{{div $i 4}}[{{mod $i 4}}]), b{{.}}, c{{$i}}_{{.}});
{{- end}}{{end}}
    }
    workgroupBarrier();
  }
{{- range $i := seq 8}}
  let row{{$i}} = pair.{{if lt $i 4}}x{{else}}y{{end}} * 32u + l.y * 4u + {{mod $i 4}}u;
  let at{{$i}} = row{{$i}} * p.ldx + column + l.x;
  x[at{{$i}}] = c{{$i}}_0;
  x[at{{$i}} + 16u] = c{{$i}}_1;
{{- end}}
}
