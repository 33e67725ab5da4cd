// kl[t] = Σ_v p[v]·(log p[v] − log q[v]), p = softmax(x[t]), q = softmax(ref[t])
// 0 kl [T] write | 1 x [T n] read | 2 ref [T n] read | p {T, n, offsets}      256 threads to a row
struct P { rows: u32, n: u32, ko: u32, xo: u32, ro: u32 }
@group(0) @binding(0) var<storage, read_write> kl: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> ref_: array<f32>;
@group(0) @binding(3) var<uniform> p: P;
{{template "reduce"}}
{{template "largest"}}
{{template "exp"}}
{{template "pair"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let t = w.y * grid.x + w.x;
  if (t >= p.rows) { return; }
  let k = divergence(lane, p.xo + t * p.n, p.ro + t * p.n, soft(lane, t));
  if (lane == 0u) { kl[p.ko + t] = k; }
}
