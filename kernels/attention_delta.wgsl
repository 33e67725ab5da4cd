// delta[t,h] = Σ_d do[t,h,d]·o[t,h,d]
// 0 delta [T Q] write | 1 do [T Q·dim] read | 2 o [T Q·dim] read | p {T·Q, dim, offsets of do, o}
// 256 threads, a head each
struct P { n: u32, dim: u32, do_: u32, oo: u32 }
@group(0) @binding(0) var<storage, read_write> delta: array<f32>;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> o: array<f32>;
@group(0) @binding(3) var<uniform> p: P;
{{template "linear"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i >= p.n) { return; }
  var s = 0.0;
  for (var d = 0u; d < p.dim; d = d + 1u) {
    s = s + g[p.do_ + i * p.dim + d] * o[p.oo + i * p.dim + d];
  }
  delta[i] = s;
}
