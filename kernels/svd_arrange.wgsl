// b[i,j] = sign(order[j])·z(order[j], i): vector j of the order is column j
// 0 b [n n] write | 1 z, rows of vectors, read | 2 order [n] read | 3 signs [vectors 2] read
// p {n, offset of b, row of z, start of the vector in it}
// 16×16 threads to a tile, which is transposed in workgroup memory
struct P { n: u32, bo: u32, ldz: u32, zo: u32 }
@group(0) @binding(0) var<storage, read_write> b: array<f32>;
@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> signs: array<f32>;
@group(0) @binding(4) var<uniform> p: P;
var<workgroup> tile: array<f32, 272>;
@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_id) l: vec3<u32>) {
  let j = w.x * 16u + l.y;
  let i = w.y * 16u + l.x;
  if ((j < p.n) && (i < p.n)) {
    let from_ = order[j];
    tile[l.y * 17u + l.x] = signs[2u * from_ + 1u] * z[from_ * p.ldz + p.zo + i];
  }
  workgroupBarrier();
  let row = w.y * 16u + l.y;
  let column = w.x * 16u + l.x;
  if ((row < p.n) && (column < p.n)) { b[p.bo + row * p.n + column] = tile[l.x * 17u + l.y]; }
}
