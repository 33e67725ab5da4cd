// g' = scale·g    m = β1·m + (1−β1)·g'    v = β2·v + (1−β2)·g'²
// p −= lr·(m·c1/(√(v·c2) + eps) + decay·p), c = 1/(1−β^step)
// 0 p [n] update | 1 m [n] update | 2 v [n] update | 3 g [n] read
// p {n, offsets of p, m, v, g, scale, β1, 1−β1, β2, 1−β2, c1, c2, eps, lr, decay}
// 256 threads, a number each
struct P { n: u32, po: u32, mo: u32, vo: u32, go: u32, scale: f32, b1: f32, a1: f32, b2: f32,
  a2: f32, c1: f32, c2: f32, eps: f32, lr: f32, decay: f32 }
@group(0) @binding(0) var<storage, read_write> w_: array<f32>;
@group(0) @binding(1) var<storage, read_write> m: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<uniform> p: P;
{{template "linear"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i >= p.n) { return; }
  let grad = p.scale * g[p.go + i];
  let mean = p.b1 * m[p.mo + i] + p.a1 * grad;
  let square = p.b2 * v[p.vo + i] + p.a2 * grad * grad;
  m[p.mo + i] = mean;
  v[p.vo + i] = square;
  let old = w_[p.po + i];
  w_[p.po + i] = old - p.lr * (mean * p.c1 / (sqrt(square * p.c2) + p.eps) + p.decay * old);
}
