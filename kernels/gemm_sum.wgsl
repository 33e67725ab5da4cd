// c[i,j] (+)= Σ_s part[s,i,j]
// 0 c write | 1 part [ranges m n] read | p {m·n, n, row and offset of c, ranges, whether to add}
// 256 threads, a number each; loads are four at a time, since none waits for another
struct P { size: u32, n: u32, ldc: u32, co: u32, ranges: u32, acc: u32 }
@group(0) @binding(0) var<storage, read_write> c: array<f32>;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<uniform> p: P;
{{template "linear"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i >= p.size) { return; }
  var s = 0.0;
  let last = p.ranges - 1u;
  for (var r = 0u; r <= last; r = r + 4u) {
{{- range seq 4}}
    let v{{.}} = part[min(r + {{.}}u, last) * p.size + i];
{{- end}}
{{- range seq 4}}
    s = s + select(0.0, v{{.}}, r + {{.}}u <= last);
{{- end}}
  }
  let row = i / p.n;
  let at = p.co + row * p.ldc + i - row * p.n;
  if (p.acc != 0u) { s = s + c[at]; }
  c[at] = s;
}
