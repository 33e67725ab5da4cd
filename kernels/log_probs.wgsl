// lp[t] = x[t,targets[t]] − log Σ_v exp x[t,v]; a negative goal gives 0
// 0 lp [T] write | 1 x [T n] read | 2 targets [T] read | p {T, n, offsets}
// 256 threads to a row
struct P { rows: u32, n: u32, lo: u32, xo: u32, io: u32 }
@group(0) @binding(0) var<storage, read_write> lp: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<uniform> p: P;
{{template "reduce"}}
{{template "largest"}}
{{template "exp"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let t = w.y * grid.x + w.x;
  if (t >= p.rows) { return; }
  let at = p.xo + t * p.n;
  var top = x[at];
  for (var j = lane; j < p.n; j = j + 256u) { top = max(top, x[at + j]); }
  top = largest(lane, top);
  var s = 0.0;
  for (var j = lane; j < p.n; j = j + 256u) { s = s + expn(x[at + j] - top); }
  s = total(lane, s);
  if (lane == 0u) {
    let goal = targets[p.io + t];
    lp[p.lo + t] = 0.0;
    if (goal >= 0) { lp[p.lo + t] = (x[at + u32(goal)] - top) - log(s); }
  }
}
