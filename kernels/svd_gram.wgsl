// g[s,q,i,j] = Σ_k x(i,k)·x(j,k) over the range s of k, for the 64 vectors of the pair of blocks q;
// the part below the first 32 of i, left of the last 32 of j, is left out
// 0 g [ranges pairs 64 64] write | 1 x, rows of vectors, read
// p {row of x in vec4, blocks, lap, k, k of a range}
// 8×8 threads to a pair and a range, 8×8 numbers each; k goes by 16
struct P { ldx: u32, blocks: u32, lap: u32, k: u32, range: u32 }
@group(0) @binding(0) var<storage, read_write> g: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: P;
{{template "tournament"}}
// [16][64] numbers of the vectors, in vec4 along them, columns swapped as in the matrix product.
var<workgroup> tile: array<vec4<f32>, 256>;
@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_id) l: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let pair = meet(w.x, p.lap, p.blocks);
  let first = (lane / 4u) * 4u;
  var row = pair.x * 32u + first;
  if (first >= 32u) { row = pair.y * 32u + first - 32u; }
  let at = row * p.ldx + lane % 4u;
  let put = (lane % 4u) * 64u + ((lane / 4u) ^ ((lane % 4u) << 1u));
  let end = min(p.k, (w.y + 1u) * p.range) / 4u;
  var k = w.y * p.range / 4u;
{{- range seq 4}}
  var r{{.}} = vec4<f32>(0.0);
{{- end}}
{{- range seq 8}}
  var s{{.}} = vec4<f32>(0.0);
{{- end}}
{{- range seq 4}}
  var v{{.}} = x[at + {{.}}u * p.ldx + k];
{{- end}}
  while (k < end) {
    tile[put] = vec4<f32>(v0.x, v1.x, v2.x, v3.x);
    tile[put + 16u] = vec4<f32>(v0.y, v1.y, v2.y, v3.y);
    tile[put + 32u] = vec4<f32>(v0.z, v1.z, v2.z, v3.z);
    tile[put + 48u] = vec4<f32>(v0.w, v1.w, v2.w, v3.w);
    workgroupBarrier();
    k = k + 4u;
    if (k < end) {
{{- range seq 4}}
      v{{.}} = x[at + {{.}}u * p.ldx + k];
{{- end}}
    }
    for (var k4 = 0u; k4 < 4u; k4 = k4 + 1u) {
      let turn = k4 << 1u;
{{- range $k := seq 4}}
      {
        let row4 = k4 * 64u + {{mul 16 $k}}u;
        let a0 = tile[row4 + (l.y ^ turn)];
        let a1 = tile[row4 + ((l.y + 8u) ^ turn)];
        let b0 = tile[row4 + (l.x ^ turn)];
        let b1 = tile[row4 + ((l.x + 8u) ^ turn)];
{{- range $i := seq 4}}
        r{{$i}} = fma(vec4<f32>(a0[{{$i}}]), b0, r{{$i}});
        s{{$i}} = fma(vec4<f32>(a0[{{$i}}]), b1, s{{$i}});
        s{{add $i 4}} = fma(vec4<f32>(a1[{{$i}}]), b1, s{{add $i 4}});
{{- end}}
      }
{{- end}}
    }
    workgroupBarrier();
  }
  let to = (w.y * grid.x + w.x) * 1024u + l.x;
{{- range $i := seq 4}}
  g[to + (l.y * 4u + {{$i}}u) * 16u] = r{{$i}};
  g[to + (l.y * 4u + {{$i}}u) * 16u + 8u] = s{{$i}};
  g[to + (l.y * 4u + {{add $i 32}}u) * 16u + 8u] = s{{add $i 4}};
{{- end}}
}
