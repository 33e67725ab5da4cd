// d[t,v] = w[t]·(softmax(x[t])[v] − [v = targets[t]]); a negative goal gives 0      d may be x
// 0 d [T n] write | 1 x [T n] read | 2 targets [T] read | 3 w [T] read | p {T, n, offsets}
// 256 threads to a row
struct P { rows: u32, n: u32, d_o: u32, xo: u32, io: u32, wo: u32 }
@group(0) @binding(0) var<storage, read_write> d: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<uniform> p: P;
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
  let goal = targets[p.io + t];
  let scale = weight[p.wo + t];
  for (var j = lane; j < p.n; j = j + 256u) {
    var v = expn(x[at + j] - top) / s;
    if (i32(j) == goal) { v = v - 1.0; }
    if (goal < 0) { v = 0.0; }
    d[p.d_o + t * p.n + j] = scale * v;
  }
}
