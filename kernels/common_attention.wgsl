// What the kernels of attention share.
{{define "piece"}}
// Numbers 4c to 4c+3 of a head that starts at `at`, zeros past its end.
{{- range .Sources}}
fn {{.}}4(at: u32, c: u32) -> vec4<f32> {
{{- if $.Vec}}
  return {{.}}[at / 4u + c];
{{- else}}
  let i = at + 4u * c;
  let n = {{$.Dim}}u - 4u * c;
  return vec4<f32>({{.}}[i], select(0.0, {{.}}[i + 1u], n > 1u), select(0.0, {{.}}[i + 2u], n > 2u),
    select(0.0, {{.}}[i + 3u], n > 3u));
{{- end}}
}
{{- end}}
{{end}}
{{define "head"}}
// Numbers 4c to 4c+3 of what a thread writes; those past the head's end are left out.
fn put4(at: u32, c: u32, v: vec4<f32>) {
{{- $n := mod .Dim 4}}
{{- $full := div .Dim 4}}
  let i = at + 4u * c;
{{- if $n}}
  if (c == {{$full}}u) {
    {{.Dest}}[i] = v.x;
{{- if gt $n 1}}
    {{.Dest}}[i + 1u] = v.y;
{{- end}}{{if gt $n 2}}
    {{.Dest}}[i + 2u] = v.z;
{{- end}}
    return;
  }
{{- end}}
  {{.Dest}}[i] = v.x;
  {{.Dest}}[i + 1u] = v.y;
  {{.Dest}}[i + 2u] = v.z;
  {{.Dest}}[i + 3u] = v.w;
}
{{end}}
{{define "gradient"}}
// What both gradients of attention share: 32 rows × 32 keys, four of one side to a thread.
var<workgroup> ac: array<vec4<f32>, 128>;
var<workgroup> bc: array<vec4<f32>, 128>;
var<workgroup> ad: array<vec4<f32>, 128>;
var<workgroup> bd: array<vec4<f32>, 128>;
const LOW: f32 = -3.4028234e38;
// Row t of q and of do for a head, row s of k and v: numbers 4c to 4c+3, zeros outside.
fn qrow(t: u32, head: u32, c: u32) -> vec4<f32> {
  if ((t >= p.rows) || (c >= {{.Columns}}u)) { return vec4<f32>(0.0); }
  return q4(p.qo + (t * p.q + head) * {{.Dim}}u, c);
}
fn grow(t: u32, head: u32, c: u32) -> vec4<f32> {
  if ((t >= p.rows) || (c >= {{.Columns}}u)) { return vec4<f32>(0.0); }
  return g4(p.go + (t * p.q + head) * {{.Dim}}u, c);
}
fn krow(s: u32, head: u32, c: u32) -> vec4<f32> {
  if ((s >= p.keys) || (c >= {{.Columns}}u)) { return vec4<f32>(0.0); }
  return k4(p.ko + (s * p.kv + head) * {{.Dim}}u, c);
}
fn vrow(s: u32, head: u32, c: u32) -> vec4<f32> {
  if ((s >= p.keys) || (c >= {{.Columns}}u)) { return vec4<f32>(0.0); }
  return v4(p.vo + (s * p.kv + head) * {{.Dim}}u, c);
}
// Puts 16 numbers of 32 rows from t0, and of 32 keys from s0, transposed; 32 threads to each.
fn load(lane: u32, t0: u32, head: u32, s0: u32, kvhead: u32, c0: u32) {
  let job = lane / 32u;
  let at = (lane % 4u) * 32u + (lane % 32u) / 4u;
  let r = ((lane % 32u) / 4u) * 4u;
  let c = c0 + lane % 4u;
  if (job == 0u) {
    let x = qrow(t0 + r, head, c);
    let y = qrow(t0 + r + 1u, head, c);
    let z = qrow(t0 + r + 2u, head, c);
    let u = qrow(t0 + r + 3u, head, c);
    ac[at] = vec4<f32>(x.x, y.x, z.x, u.x);
    ac[at + 8u] = vec4<f32>(x.y, y.y, z.y, u.y);
    ac[at + 16u] = vec4<f32>(x.z, y.z, z.z, u.z);
    ac[at + 24u] = vec4<f32>(x.w, y.w, z.w, u.w);
  } else if (job == 1u) {
    let x = krow(s0 + r, kvhead, c);
    let y = krow(s0 + r + 1u, kvhead, c);
    let z = krow(s0 + r + 2u, kvhead, c);
    let u = krow(s0 + r + 3u, kvhead, c);
    bc[at] = vec4<f32>(x.x, y.x, z.x, u.x);
    bc[at + 8u] = vec4<f32>(x.y, y.y, z.y, u.y);
    bc[at + 16u] = vec4<f32>(x.z, y.z, z.z, u.z);
    bc[at + 24u] = vec4<f32>(x.w, y.w, z.w, u.w);
  } else if (job == 2u) {
    let x = grow(t0 + r, head, c);
    let y = grow(t0 + r + 1u, head, c);
    let z = grow(t0 + r + 2u, head, c);
    let u = grow(t0 + r + 3u, head, c);
    ad[at] = vec4<f32>(x.x, y.x, z.x, u.x);
    ad[at + 8u] = vec4<f32>(x.y, y.y, z.y, u.y);
    ad[at + 16u] = vec4<f32>(x.z, y.z, z.z, u.z);
    ad[at + 24u] = vec4<f32>(x.w, y.w, z.w, u.w);
  } else if (job == 3u) {
    let x = vrow(s0 + r, kvhead, c);
    let y = vrow(s0 + r + 1u, kvhead, c);
    let z = vrow(s0 + r + 2u, kvhead, c);
    let u = vrow(s0 + r + 3u, kvhead, c);
    bd[at] = vec4<f32>(x.x, y.x, z.x, u.x);
    bd[at + 8u] = vec4<f32>(x.y, y.y, z.y, u.y);
    bd[at + 16u] = vec4<f32>(x.z, y.z, z.z, u.z);
    bd[at + 24u] = vec4<f32>(x.w, y.w, z.w, u.w);
  }
}
{{end}}
{{define "attention_grad_kv"}}
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
  return p_{{if .Keys}} * (dp - delta[at]){{end}};
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
          let x = {{if $v.Keys}}qrow{{else}}grow{{end}}(t0 + j, head, tx + {{mul $n 32}}u);
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
      put4(p.d_o + (s * p.kv + kvhead) * {{$v.Dim}}u, tx + {{mul $n 32}}u,
        o{{$n}}_{{$i}}{{if $v.Keys}} * p.scale{{end}});
    }
{{- end}}
  }
{{- end}}
}
{{end}}
