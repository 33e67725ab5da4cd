// o = Σ_r part[r]·e^(m[r]−M) / Σ_r s[r]·e^(m[r]−M): the ranges of attention_rows made one
// 0 o [T Q·dim] write | 1 lse [T Q] write | 2 part [T Q ranges dim] read | 3 stats read
// p {T·Q, dim, ranges, offsets of o, lse, −Inf, whether lse is wanted}
// 64 threads to (row, head)
struct P { n: u32, dim: u32, ranges: u32, oo: u32, lo: u32, inf: u32, given: u32 }
@group(0) @binding(0) var<storage, read_write> o: array<f32>;
@group(0) @binding(1) var<storage, read_write> lse: array<f32>;
@group(0) @binding(2) var<storage, read> part: array<f32>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<uniform> p: P;
{{template "exp"}}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let h = w.y * grid.x + w.x;
  if (h >= p.n) { return; }
  var top = stats[2u * h * p.ranges];
  for (var r = 1u; r < p.ranges; r = r + 1u) { top = max(top, stats[2u * (h * p.ranges + r)]); }
  var sum = 0.0;
  for (var r = 0u; r < p.ranges; r = r + 1u) {
    let at = 2u * (h * p.ranges + r);
    sum = sum + stats[at + 1u] * expn(stats[at] - top);
  }
  for (var d = lane; d < p.dim; d = d + 64u) {
    var s = 0.0;
    for (var r = 0u; r < p.ranges; r = r + 1u) {
      let at = h * p.ranges + r;
      s = s + part[at * p.dim + d] * expn(stats[2u * at] - top);
    }
    o[p.oo + h * p.dim + d] = select(0.0, s / sum, sum > 0.0);
  }
  if ((lane == 0u) && (p.given != 0u)) {
    if (sum > 0.0) { lse[p.lo + h] = top + log(sum); } else { lse[p.lo + h] = bitcast<f32>(p.inf); }
  }
}
