// y[i,j] = scale·x(i,j) + shift·[i = j], x(i,j) = x[xo + i·xr + j·xc]: a copy, transpose, identity
// 0 y write | 1 x read
// p {rows, columns, offset and row of y, offset, row and column of x, scale, shift}
// 256 threads, a number each
struct P { rows: u32, n: u32, yo: u32, ldy: u32, xo: u32, xr: u32, xc: u32, scale: f32, shift: f32 }
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<uniform> p: P;
{{template "linear"}}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  let at = linear(w, grid, lane);
  if (at >= p.rows * p.n) { return; }
  let i = at / p.n;
  let j = at - i * p.n;
  var v = 0.0;
  if (p.scale != 0.0) { v = p.scale * x[p.xo + i * p.xr + j * p.xc]; }
  if (i == j) { v = v + p.shift; }
  y[p.yo + i * p.ldy + j] = v;
}
