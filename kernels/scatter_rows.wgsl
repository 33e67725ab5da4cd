// dst[ids[t]] = src[t]; ids are distinct, those outside are left out      {{.Count}} pairs at once
// 0.. dst [rows n] write, one each | src [T n] read, one each | ids [T] read
// p {T·n, n, rows, offset of ids; of each pair the offsets}      256 threads, a number each
struct P { n: u32, cols: u32, rows: u32, io: u32
{{- range seq .Count}}, d_o{{.}}: u32, so{{.}}: u32{{end}} }
{{- range seq .Count}}
@group(0) @binding({{.}}) var<storage, read_write> dst{{.}}: array<u32>;
{{- end}}
{{- range seq .Count}}
@group(0) @binding({{add $.Count .}}) var<storage, read> src{{.}}: array<u32>;
{{- end}}
@group(0) @binding({{mul 2 .Count}}) var<storage, read> ids: array<u32>;
@group(0) @binding({{add (mul 2 .Count) 1}}) var<uniform> p: P;
{{template "linear"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i >= p.n) { return; }
  let t = i / p.cols;
  let id = ids[p.io + t];
  if (id < p.rows) {
{{- range seq .Count}}
    dst{{.}}[p.d_o{{.}} + id * p.cols + i - t * p.cols] = src{{.}}[p.so{{.}} + i];
{{- end}}
  }
}
