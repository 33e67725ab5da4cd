// d[t,v] += w[t]·p[v]·(log p[v] − log q[v] − KL[t])
// 0 d [T n] update | 1 x [T n] read | 2 ref [T n] read | 3 w [T] read | p {T, n, offsets}
// 256 threads to a row
struct P { rows: u32, n: u32, d_o: u32, xo: u32, ro: u32, wo: u32 }
@group(0) @binding(0) var<storage, read_write> d: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> ref_: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<uniform> p: P;
{{template "reduce"}}
{{template "largest"}}
{{template "exp"}}
{{template "pair"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let t = w.y * grid.x + w.x;
  if (t >= p.rows) { return; }
  let s = soft(lane, t);
  let xa = p.xo + t * p.n;
  let ra = p.ro + t * p.n;
  let k = divergence(lane, xa, ra, s);
  for (var j = lane; j < p.n; j = j + 256u) {
    let lp = (x[xa + j] - s.x) - s.z;
    let lq = (ref_[ra + j] - s.y) - s.w;
    let at = p.d_o + t * p.n + j;
    d[at] = d[at] + weight[p.wo + t] * expn(lp) * (lp - lq - k);
  }
}
