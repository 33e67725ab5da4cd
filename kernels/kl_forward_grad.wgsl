// d[t,v] += w[t]·(p[v] − q[v]), p = softmax(x[t]), q = softmax(ref[t])
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
  for (var j = lane; j < p.n; j = j + 256u) {
    let pv = expn((x[p.xo + t * p.n + j] - s.x) - s.z);
    let qv = expn((ref_[p.ro + t * p.n + j] - s.y) - s.w);
    let at = p.d_o + t * p.n + j;
    d[at] = d[at] + weight[p.wo + t] * (pv - qv);
  }
}
