// pairs (i, i+dim/2) of each head turn in place: a, b → a·c − b·s, b·c + a·s
// c, s = cosSin[pos[t], i], sign·cosSin[pos[t], dim/2+i]      {{.Count}} tensors at once
// 0.. x [T cols] update, one each | cosSin [positions dim] read | pos [T] read
// p {dim, offsets of cosSin and pos, sign; and of each x: pairs, pairs of a row, offset}
// 256 threads, a pair each
struct P { dim: u32, co: u32, po: u32, sign: f32
{{- range seq .Count}}, n{{.}}: u32, width{{.}}: u32, xo{{.}}: u32{{end}} }
{{- range seq .Count}}
@group(0) @binding({{.}}) var<storage, read_write> x{{.}}: array<f32>;
{{- end}}
@group(0) @binding({{.Count}}) var<storage, read> turn: array<f32>;
@group(0) @binding({{add .Count 1}}) var<storage, read> pos: array<u32>;
@group(0) @binding({{add .Count 2}}) var<uniform> p: P;
{{template "linear"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  var n = linear(w, grid, lane);
  let mid = p.dim / 2u;
{{- range seq .Count}}
  if (n < p.n{{.}}) {
    let t = n / p.width{{.}};
    let head = (n - t * p.width{{.}}) / mid;
    let i = (n - t * p.width{{.}}) - head * mid;
    let at = p.xo{{.}} + t * p.width{{.}} * 2u + head * p.dim + i;
    let angle = p.co + pos[p.po + t] * p.dim + i;
    let c = turn[angle];
    let s = p.sign * turn[angle + mid];
    let a = x{{.}}[at];
    let b = x{{.}}[at + mid];
    x{{.}}[at] = a * c - b * s;
    x{{.}}[at + mid] = b * c + a * s;
    return;
  }
  n = n - p.n{{.}};
{{- end}}
}
