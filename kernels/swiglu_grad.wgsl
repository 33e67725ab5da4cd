// dgate = dy∘up∘silu'(gate), dup = dy∘silu(gate), silu'(a) = σ(a)·(1 + a·(1−σ(a)))
// dgate may be gate, dup may be up
// 0 dgate [n] write | 1 dup [n] write | 2 dy [n] read | 3 gate [n] read | 4 up [n] read
// p {n, offsets}      256 threads, a number each
struct P { n: u32, dgo: u32, duo: u32, dyo: u32, go: u32, uo: u32 }
@group(0) @binding(0) var<storage, read_write> dgate: array<f32>;
@group(0) @binding(1) var<storage, read_write> dup: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> gate: array<f32>;
@group(0) @binding(4) var<storage, read> up: array<f32>;
@group(0) @binding(5) var<uniform> p: P;
{{template "linear"}}
{{template "silu"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let i = linear(w, grid, lane);
  if (i < p.n) {
    let a = gate[p.go + i];
    let g = dy[p.dyo + i];
    let s = sigmoid(a);
    let u = up[p.uo + i];
    dgate[p.dgo + i] = g * u * s * (1.0 + a * (1.0 - s));
    dup[p.duo + i] = g * a * s;
  }
}
