// dk[s] = scale·Σ_{t,h} ds·q[t,h], ds = p·(do·v[s] − delta), p = e^(scale·q·k[s] − lse)
// 0 dk write | 1 q read | 2 k read | 3 v read | 4 do read | 5 lse read | 6 delta read
// 7 spans read
// p {rows, keys, query heads, key heads, offsets of dk, q, k, v, do, lse, spans, scale}
// 256 threads to (32 keys, key head), tiles of 32 rows of every query head that reads it; tiles in
// which no row sees a key are passed over
{{template "attention_grad_kv" .}}
