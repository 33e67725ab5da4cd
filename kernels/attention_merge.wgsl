// o = Σ_r part[r]·e^(m[r]−M) / Σ_r s[r]·e^(m[r]−M): the ranges of attention_rows made one
// 0 o [T Q·dim] write | 1 lse [T Q] write | 2 part [T Q ranges dim] read | 3 stats read
// p {T·Q, dim, ranges (32 at most), offsets of o, lse, −Inf, whether lse is wanted}
// 256 threads to (row, head): 64 numbers at a time × 4 shares of the ranges. Every load is asked for
// before the first is needed
struct P { n: u32, dim: u32, ranges: u32, oo: u32, lo: u32, inf: u32, given: u32 }
@group(0) @binding(0) var<storage, read_write> o: array<f32>;
@group(0) @binding(1) var<storage, read_write> lse: array<f32>;
@group(0) @binding(2) var<storage, read> part: array<f32>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<uniform> p: P;
var<workgroup> tops: array<f32, 32>;
var<workgroup> sums: array<f32, 32>;
var<workgroup> red: array<f32, 256>;
{{template "exp"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let h = w.y * grid.x + w.x;
  if (h >= p.n) { return; }
  let share = lane / 64u;
  let last = p.ranges - 1u;
  if (lane < 32u) {
    let at = 2u * (h * p.ranges + min(lane, last));
    tops[lane] = select(-3.4028234e38, stats[at], lane <= last);
    sums[lane] = select(0.0, stats[at + 1u], lane <= last);
  }
  var top = 0.0;
  var sum = 0.0;
  for (var d0 = 0u; d0 < p.dim; d0 = d0 + 64u) {
    let d = d0 + lane % 64u;
{{- range seq 8}}
    let v{{.}} = part[(h * p.ranges + min(share + {{mul . 4}}u, last)) * p.dim + min(d, p.dim - 1u)];
{{- end}}
    workgroupBarrier();
    if (d0 == 0u) {
      top = tops[0];
      for (var r = 1u; r < p.ranges; r = r + 1u) { top = max(top, tops[r]); }
      for (var r = 0u; r < p.ranges; r = r + 1u) { sum = sum + sums[r] * expn(tops[r] - top); }
    }
    var s = 0.0;
{{- range seq 8}}
    if (share + {{mul . 4}}u <= last) { s = s + v{{.}} * expn(tops[share + {{mul . 4}}u] - top); }
{{- end}}
    red[lane] = s;
    workgroupBarrier();
    if ((share == 0u) && (d < p.dim)) {
      s = red[lane] + red[lane + 64u] + red[lane + 128u] + red[lane + 192u];
      o[p.oo + h * p.dim + d] = select(0.0, s / sum, sum > 0.0);
    }
  }
  if ((lane == 0u) && (p.given != 0u)) {
    if (sum > 0.0) { lse[p.lo + h] = top + log(sum); } else { lse[p.lo + h] = bitcast<f32>(p.inf); }
  }
}
