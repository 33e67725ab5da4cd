// dv[s] = Σ_{t,h} p·do[t,h], p = e^(scale·q·k[s] − lse)
// 0 dv write | 1 q read | 2 k read | 3 v read | 4 do read | 5 lse read | 6 delta read
// 7 spans read
// p {rows, keys, query heads, key heads, offsets of dv, q, k, v, do, lse, spans, scale}
// 256 threads to (32 keys, key head), tiles of 32 rows of every query head that reads it; tiles in
// which no row sees a key are passed over
struct P { rows: u32, keys: u32, q: u32, kv: u32, d_o: u32, qo: u32, ko: u32, vo: u32, go: u32,
  lo: u32, so: u32, scale: f32 }
{{- $v := .}}{{$cv := .Columns}}
{{- $t := "f32"}}{{if .Vec}}{{$t = "vec4<f32>"}}{{end}}
@group(0) @binding(0) var<storage, read_write> d: array<f32>;
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
var<workgroup> seen: u32;
{{template "exp"}}
{{template "piece" (.With "q" "k" "v" "g")}}
{{template "head" (.To "d")}}
{{template "gradient" .}}
// What row t adds to one key, nothing where its span does not have the key.
fn slope(s: f32, dp: f32, row: u32, t: u32, head: u32, key: u32) -> f32 {
  if ((key < low[row]) || (key >= high[row])) { return 0.0; }
  let at = t * p.q + head;
  let p_ = expn(s * p.scale - lse[p.lo + at]);
  return p_;
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let s0 = w.x * 32u;
  let kvhead = w.y;
  let group = p.q / p.kv;
  let tx = lane % 32u;
  let ty = lane / 32u;
{{- range $n := seq .Broad}}{{range seq 4}}
  var o{{$n}}_{{.}} = vec4<f32>(0.0);
{{- end}}{{end}}
  for (var t0 = 0u; t0 < p.rows; t0 = t0 + 32u) {
    if (lane == 0u) { seen = 0u; }
    workgroupBarrier();
    if (lane < 32u) {
      low[lane] = 0u;
      high[lane] = 0u;
      if (t0 + lane < p.rows) {
        low[lane] = spans[p.so + 2u * (t0 + lane)];
        high[lane] = spans[p.so + 2u * (t0 + lane) + 1u];
      }
      if (max(low[lane], s0) < min(high[lane], s0 + 32u)) { seen = 1u; }
    }
    if (workgroupUniformLoad(&seen) == 0u) { continue; }
    for (var h = 0u; h < group; h = h + 1u) {
      let head = kvhead * group + h;
      var s = vec4<f32>(0.0);
      var dp = vec4<f32>(0.0);
      for (var c0 = 0u; c0 < {{$cv}}u; c0 = c0 + 4u) {
        load(lane, t0, head, s0, kvhead, c0);
        workgroupBarrier();
        for (var i = 0u; i < 16u; i = i + 1u) {
          s = fma(bc[i * 8u + ty], vec4<f32>(ac[i * 8u + tx / 4u][tx % 4u]), s);
          dp = fma(bd[i * 8u + ty], vec4<f32>(ad[i * 8u + tx / 4u][tx % 4u]), dp);
        }
        workgroupBarrier();
      }
      let key = s0 + ty * 4u;
      let t = t0 + tx;
      ds[tx * 8u + ty] = vec4<f32>(slope(s.x, dp.x, tx, t, head, key),
        slope(s.y, dp.y, tx, t, head, key + 1u), slope(s.z, dp.z, tx, t, head, key + 2u),
        slope(s.w, dp.w, tx, t, head, key + 3u));
      workgroupBarrier();
      for (var j = 0u; j < 32u; j = j + 1u) {
        let a = ds[j * 8u + ty];
{{- range $n := seq .Broad}}
        if (tx + {{mul $n 32}}u < {{$cv}}u) {
          let x = grow(t0 + j, head, tx + {{mul $n 32}}u);
          o{{$n}}_0 = fma(vec4<f32>(a.x), x, o{{$n}}_0);
          o{{$n}}_1 = fma(vec4<f32>(a.y), x, o{{$n}}_1);
          o{{$n}}_2 = fma(vec4<f32>(a.z), x, o{{$n}}_2);
          o{{$n}}_3 = fma(vec4<f32>(a.w), x, o{{$n}}_3);
        }
{{- end}}
      }
      workgroupBarrier();
    }
  }
{{- range $i := seq 4}}
  {
    let s = s0 + ty * 4u + {{$i}}u;
{{- range $n := seq $v.Broad}}
    if ((s < p.keys) && (tx + {{mul $n 32}}u < {{$cv}}u)) {
      put4(p.d_o + (s * p.kv + kvhead) * {{$v.Dim}}u, tx + {{mul $n 32}}u, o{{$n}}_{{$i}});
    }
{{- end}}
  }
{{- end}}
}
