// y = silu(gate)∘up, silu(a) = a/(1+e^−a)      y may be gate or up
// 0 y [n] write | 1 gate [n] read | 2 up [n] read | p {n, offsets}      256 threads, a number each
struct P { n: u32, yo: u32, go: u32, uo: u32 }
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<uniform> p: P;
{{template "linear"}}
{{template "silu"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i < p.n) {
    let a = gate[p.go + i];
    y[p.yo + i] = a * sigmoid(a) * up[p.uo + i];
  }
}
