// rope on q and k, then dk[ids[t]] = k[t], dv[ids[t]] = v[t]: how a token's keys and values enter a
// cache; ids outside are left out
// 0 q [T Q·dim] update | 1 k [T KV·dim] update | 2 dk [rows KV·dim] write | 3 dv write
// 4 cosSin read | 5 pos [T] read | 6 v [T KV·dim] read | 7 ids [T] read
// p {dim, offsets of cosSin, pos, sign; pairs, pairs of a row and offset of q, of k; offsets of dk,
// dv, v, ids, rows of dk}      256 threads, a pair each, of q, then of k, then of v
struct P { dim: u32, co: u32, po: u32, sign: f32, nq: u32, wq: u32, qo: u32, nk: u32, wk: u32,
  ko: u32, dko: u32, dvo: u32, vo: u32, io: u32, rows: u32 }
@group(0) @binding(0) var<storage, read_write> q: array<f32>;
@group(0) @binding(1) var<storage, read_write> k: array<f32>;
@group(0) @binding(2) var<storage, read_write> dk: array<f32>;
@group(0) @binding(3) var<storage, read_write> dv: array<u32>;
@group(0) @binding(4) var<storage, read> turn: array<f32>;
@group(0) @binding(5) var<storage, read> pos: array<u32>;
@group(0) @binding(6) var<storage, read> v: array<u32>;
@group(0) @binding(7) var<storage, read> ids: array<u32>;
@group(0) @binding(8) var<uniform> p: P;
{{template "linear"}}
// Where pair n of rows of so many pairs lies: its row, its first number in the row, its place in
// the head.
fn place(n: u32, width: u32) -> vec3<u32> {
  let mid = p.dim / 2u;
  let t = n / width;
  let head = (n - t * width) / mid;
  let i = (n - t * width) - head * mid;
  return vec3<u32>(t, head * p.dim + i, i);
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32) {
  var n = linear(w, grid, lane);
  let mid = p.dim / 2u;
  if (n < p.nq) {
    let at = place(n, p.wq);
    let angle = p.co + pos[p.po + at.x] * p.dim + at.z;
    let c = turn[angle];
    let s = p.sign * turn[angle + mid];
    let i = p.qo + at.x * p.wq * 2u + at.y;
    let a = q[i];
    let b = q[i + mid];
    q[i] = a * c - b * s;
    q[i + mid] = b * c + a * s;
    return;
  }
  n = n - p.nq;
  if (n < p.nk) {
    let at = place(n, p.wk);
    let angle = p.co + pos[p.po + at.x] * p.dim + at.z;
    let id = ids[p.io + at.x];
    let c = turn[angle];
    let s = p.sign * turn[angle + mid];
    let i = p.ko + at.x * p.wk * 2u + at.y;
    let a = k[i];
    let b = k[i + mid];
    let x = a * c - b * s;
    let y = b * c + a * s;
    k[i] = x;
    k[i + mid] = y;
    if (id < p.rows) {
      dk[p.dko + id * p.wk * 2u + at.y] = x;
      dk[p.dko + id * p.wk * 2u + at.y + mid] = y;
    }
    return;
  }
  n = n - p.nk;
  if (n < p.nk) {
    let t = n / p.wk;
    let j = (n - t * p.wk) * 2u;
    let id = ids[p.io + t];
    if (id < p.rows) {
      let i = p.vo + t * p.wk * 2u + j;
      dv[p.dvo + id * p.wk * 2u + j] = v[i];
      dv[p.dvo + id * p.wk * 2u + j + 1u] = v[i + 1u];
    }
  }
}
