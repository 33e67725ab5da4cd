// o = Σ_r part[r]·e^(m[r]−M) / Σ_r s[r]·e^(m[r]−M): the ranges of attention_rows made one
// 0 o [T Q·dim] write | 1 lse [T Q] write | 2 part [T Q ranges dim] read | 3 stats read
// p {T·Q, dim, ranges (64 at most), offsets of o, lse, −Inf, whether lse is wanted}
// 128 threads to (row, head); loads are eight at a time, since each takes long and none waits for
// another
struct P { n: u32, dim: u32, ranges: u32, oo: u32, lo: u32, inf: u32, given: u32 }
@group(0) @binding(0) var<storage, read_write> o: array<f32>;
@group(0) @binding(1) var<storage, read_write> lse: array<f32>;
@group(0) @binding(2) var<storage, read> part: array<f32>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<uniform> p: P;
var<workgroup> tops: array<f32, 64>;
var<workgroup> sums: array<f32, 64>;
{{template "exp"}}
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let h = w.y * grid.x + w.x;
  if (h >= p.n) { return; }
  if (lane < 64u) {
    tops[lane] = -3.4028234e38;
    sums[lane] = 0.0;
    if (lane < p.ranges) {
      tops[lane] = stats[2u * (h * p.ranges + lane)];
      sums[lane] = stats[2u * (h * p.ranges + lane) + 1u];
    }
  }
  workgroupBarrier();
  var top = tops[0];
  for (var r = 1u; r < p.ranges; r = r + 1u) { top = max(top, tops[r]); }
  var sum = 0.0;
  for (var r = 0u; r < p.ranges; r = r + 1u) { sum = sum + sums[r] * expn(tops[r] - top); }
  for (var d = lane; d < p.dim; d = d + 128u) {
    var s = 0.0;
    for (var r = 0u; r < p.ranges; r = r + 8u) {
      let last = p.ranges - 1u;
{{- range seq 8}}
      let v{{.}} = part[(h * p.ranges + min(r + {{.}}u, last)) * p.dim + d];
{{- end}}
{{- range seq 8}}
      if (r + {{.}}u <= last) { s = s + v{{.}} * expn(tops[r + {{.}}u] - top); }
{{- end}}
    }
    o[p.oo + h * p.dim + d] = select(0.0, s / sum, sum > 0.0);
  }
  if ((lane == 0u) && (p.given != 0u)) {
    if (sum > 0.0) { lse[p.lo + h] = top + log(sum); } else { lse[p.lo + h] = bitcast<f32>(p.inf); }
  }
}
