// dq[t,h] = scale·Σ_s ds[s]·k[s], ds = p·(do·v[s] − delta), p[s] = e^(scale·q·k[s] − lse)
// 0 dq write | 1 q read | 2 k read | 3 v read | 4 do read | 5 lse read | 6 delta read
// 7 spans read
// p {rows, keys, query heads, key heads, offsets of dq, q, k, v, do, lse, spans, scale}
// 256 threads to (32 rows, head), tiles of 32 keys; tiles that no row sees are passed over
struct P { rows: u32, keys: u32, q: u32, kv: u32, dqo: u32, qo: u32, ko: u32, vo: u32, go: u32,
  lo: u32, so: u32, scale: f32 }
{{- $v := .}}{{$cv := .Columns}}
{{- $t := "f32"}}{{if .Vec}}{{$t = "vec4<f32>"}}{{end}}
@group(0) @binding(0) var<storage, read_write> dq: array<f32>;
@group(0) @binding(1) var<storage, read> q: array<{{$t}}>;
@group(0) @binding(2) var<storage, read> k: array<{{$t}}>;
@group(0) @binding(3) var<storage, read> v: array<{{$t}}>;
@group(0) @binding(4) var<storage, read> g: array<{{$t}}>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read> delta: array<f32>;
@group(0) @binding(7) var<storage, read> spans: array<u32>;
@group(0) @binding(8) var<uniform> p: P;
var<workgroup> ds: array<vec4<f32>, 256>;
var<workgroup> low: array<u32, 32>;
var<workgroup> high: array<u32, 32>;
var<workgroup> base: array<f32, 32>;
var<workgroup> less: array<f32, 32>;
var<workgroup> hull: array<u32, 2>;
var<workgroup> seen: u32;
{{template "exp"}}
{{template "piece" (.With "q" "k" "v" "g")}}
{{template "head" (.To "dq")}}
{{template "gradient" .}}
// ds of one row and key, nothing where the span does not have the key.
fn slope(s: f32, dp: f32, row: u32, key: u32) -> f32 {
  let d = expn(s * p.scale - base[row]) * (dp - less[row]);
  return select(0.0, d, (key >= low[row]) && (key < high[row]));
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t0 = w.x * 32u;
  let head = w.y;
  let kvhead = head / (p.q / p.kv);
  let tx = lane % 32u;
  let ty = lane / 32u;
  if (lane < 32u) {
    low[lane] = 0u;
    high[lane] = 0u;
    base[lane] = 0.0;
    less[lane] = 0.0;
    if (t0 + lane < p.rows) {
      low[lane] = spans[p.so + 2u * (t0 + lane)];
      high[lane] = spans[p.so + 2u * (t0 + lane) + 1u];
      base[lane] = lse[p.lo + (t0 + lane) * p.q + head];
      less[lane] = delta[(t0 + lane) * p.q + head];
    }
  }
  workgroupBarrier();
  if (lane == 0u) {
    var first = 0xffffffffu;
    var last = 0u;
    for (var i = 0u; i < 32u; i = i + 1u) {
      if (low[i] < high[i]) {
        first = min(first, low[i]);
        last = max(last, high[i]);
      }
    }
    hull[0] = min(first, last);
    hull[1] = last;
  }
  let begin = workgroupUniformLoad(&hull[0]);
  let end = workgroupUniformLoad(&hull[1]);
{{- range $n := seq .Broad}}{{range seq 4}}
  var o{{$n}}_{{.}} = vec4<f32>(0.0);
{{- end}}{{end}}
  for (var tile = begin; tile < end; tile = tile + 32u) {
    if (lane == 0u) { seen = 0u; }
    workgroupBarrier();
    if (lane < 32u) {
      if (max(low[lane], tile) < min(high[lane], tile + 32u)) { seen = 1u; }
    }
    if (workgroupUniformLoad(&seen) == 0u) { continue; }
    var s = vec4<f32>(0.0);
    var dp = vec4<f32>(0.0);
    for (var c0 = 0u; c0 < {{$cv}}u; c0 = c0 + 4u) {
      load(lane, t0, head, tile, kvhead, c0);
      workgroupBarrier();
      for (var i = 0u; i < 16u; i = i + 1u) {
        s = fma(ac[i * 8u + ty], vec4<f32>(bc[i * 8u + tx / 4u][tx % 4u]), s);
        dp = fma(ad[i * 8u + ty], vec4<f32>(bd[i * 8u + tx / 4u][tx % 4u]), dp);
      }
      workgroupBarrier();
    }
    let row = ty * 4u;
    let key = tile + tx;
    ds[tx * 8u + ty] = vec4<f32>(slope(s.x, dp.x, row, key), slope(s.y, dp.y, row + 1u, key),
      slope(s.z, dp.z, row + 2u, key), slope(s.w, dp.w, row + 3u, key));
    workgroupBarrier();
    for (var j = 0u; j < 32u; j = j + 1u) {
      let a = ds[j * 8u + ty];
      // A key that no row sees may hold anything, and nothing times NaN is NaN.
      if (abs(a.x) + abs(a.y) + abs(a.z) + abs(a.w) > 0.0) {
{{- range $n := seq .Broad}}
        if (tx + {{mul $n 32}}u < {{$cv}}u) {
          let x = krow(tile + j, kvhead, tx + {{mul $n 32}}u);
          o{{$n}}_0 = fma(vec4<f32>(a.x), x, o{{$n}}_0);
          o{{$n}}_1 = fma(vec4<f32>(a.y), x, o{{$n}}_1);
          o{{$n}}_2 = fma(vec4<f32>(a.z), x, o{{$n}}_2);
          o{{$n}}_3 = fma(vec4<f32>(a.w), x, o{{$n}}_3);
        }
{{- end}}
      }
    }
    workgroupBarrier();
  }
{{- range $i := seq 4}}
  {
    let t = t0 + ty * 4u + {{$i}}u;
{{- range $n := seq $v.Broad}}
    if ((t < p.rows) && (tx + {{mul $n 32}}u < {{$cv}}u)) {
      put4(p.dqo + (t * p.q + head) * {{$v.Dim}}u, tx + {{mul $n 32}}u, o{{$n}}_{{$i}} * p.scale);
    }
{{- end}}
  }
{{- end}}
}
