// y[t,j] = x[t,j]·r·g[j], r = 1/√(mean_j x[t,j]² + eps)
{{- if .Add}}, with x[t,j] += a[t,j] before{{end}}
{{- if .Add}}
// 0 y [T n] write | 1 x [T n] update | 2 g [n] read | 3 a [T n] read | p {T, n, offsets, eps}
{{- else}}
// 0 y [T n] write | 1 x [T n] read | 2 g [n] read | p {T, n, offsets, eps}
{{- end}}
// 256 threads to a row{{if .Vec}}, four numbers at a time{{end}}
{{- if .Hold}}, each held from load to store{{end}}
{{- $t := "f32"}}{{$per := 1}}{{if .Vec}}{{$t = "vec4<f32>"}}{{$per = 4}}{{end}}
struct P { rows: u32, n: u32, yo: u32, xo: u32, go: u32, eps: f32, ao: u32 }
@group(0) @binding(0) var<storage, read_write> y: array<{{$t}}>;
{{- if .Add}}
@group(0) @binding(1) var<storage, read_write> x: array<{{$t}}>;
{{- else}}
@group(0) @binding(1) var<storage, read> x: array<{{$t}}>;
{{- end}}
@group(0) @binding(2) var<storage, read> g: array<{{$t}}>;
{{- if .Add}}
@group(0) @binding(3) var<storage, read> a: array<{{$t}}>;
@group(0) @binding(4) var<uniform> p: P;
{{- else}}
@group(0) @binding(3) var<uniform> p: P;
{{- end}}
{{template "reduce"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let t = w.y * grid.x + w.x;
  if (t >= p.rows) { return; }
  let n = p.n / {{$per}}u;
  let at = p.xo / {{$per}}u + t * n;
  var s = 0.0;
{{- if .Hold}}
{{- range seq .Hold}}
  let j{{.}} = lane + {{mul . 256}}u;
  var v{{.}} = {{$t}}(0.0);
  var g{{.}} = {{$t}}(0.0);
  if (j{{.}} < n) {
    v{{.}} = x[at + j{{.}}]{{if $.Add}} + a[p.ao / {{$per}}u + t * n + j{{.}}]{{end}};
    g{{.}} = g[p.go / {{$per}}u + j{{.}}];
  }
{{- end}}
{{- range seq .Hold}}
  s = s + {{if $.Vec}}dot(v{{.}}, v{{.}}){{else}}v{{.}} * v{{.}}{{end}};
{{- end}}
  let r = inverseSqrt(total(lane, s) / f32(p.n) + p.eps);
  let to = p.yo / {{$per}}u + t * n;
{{- range seq .Hold}}
  if (j{{.}} < n) {
{{- if $.Add}}
    x[at + j{{.}}] = v{{.}};
{{- end}}
    y[to + j{{.}}] = v{{.}} * r * g{{.}};
  }
{{- end}}
{{- else}}
  for (var j = lane; j < n; j = j + 256u) {
{{- if .Add}}
    let v = x[at + j] + a[p.ao / {{$per}}u + t * n + j];
    x[at + j] = v;
{{- else}}
    let v = x[at + j];
{{- end}}
    s = s + {{if .Vec}}dot(v, v){{else}}v * v{{end}};
  }
  let r = inverseSqrt(total(lane, s) / f32(p.n) + p.eps);
  let to = p.yo / {{$per}}u + t * n;
  for (var j = lane; j < n; j = j + 256u) { y[to + j] = x[at + j] * r * g[p.go / {{$per}}u + j]; }
{{- end}}
}
