package compute

// Device holds tensors and computes on them. One goroutine uses a Device at a time.
type Device interface {
	// Name says what computes, for people: "cpu avx512 ×2".
	Name() string
	// Close frees the device and all that it holds.
	Close() error

	Memory
	Products
	Layers
	Losses
}

// Memory moves numbers between the host and the device.
type Memory interface {
	// NewTensor is a zeroed [rows, cols]. It fails when the device has no room.
	NewTensor(rows, cols int) (Tensor, error)
	// NewInts is n zeroed int32.
	NewInts(n int) (Ints, error)
	// NewWeight is a zeroed weight [out, in]. For Q8 and Q4, in is a multiple of
	// BlockQ8.
	NewWeight(t DType, out, in int) (Weight, error)
	// Free gives a buffer back, once what was recorded has run; every view of it dies with it. Its
	// memory serves what is made next.
	Free(b Buffer)

	// Write copies src to dst (len(src) == dst.Len()); src may be reused when it returns.
	Write(dst Tensor, src []float32)
	WriteInts(dst Ints, src []int32)
	// Read submits, waits and copies src to dst (len(dst) == src.Len()).
	Read(dst []float32, src Tensor) error
	ReadInts(dst []int32, src Ints) error
	// Submit starts what was recorded. It does not wait.
	Submit() error

	// Pack rounds src [out, in] into w; Unpack is its inverse on the rounded numbers.
	// Q8: scale = max|w|/127 of the block, q = round half to even(w/scale).
	// Q4: scale = −m/8, m the first of the block's numbers of the greatest magnitude, and the same q,
	// but 7 where that would be 8: the greatest number keeps its value.
	Pack(w Weight, src Tensor)
	Unpack(dst Tensor, w Weight)
	// PackFrom is Pack of rows that are read as they are packed, without all of them in memory as f32.
	// read fills rows with those from row lo on, len(rows)/in of them. It may be called by several
	// goroutines at once, for every row once unless a call fails; then PackFrom gives one of the
	// errors, and the weight is undefined.
	PackFrom(w Weight, read func(lo int, rows []float32) error) error
	// PackBytes is the same for a weight of BF16 and an even number of inputs, from rows as files hold
	// them: two bytes a number, the lower one first. What they stand for must be finite.
	PackBytes(w Weight, read func(lo int, rows []byte) error) error
	// UnpackRows: y[t] = row ids[t] of what Unpack gives, y [T in]. An id outside the weight gives a
	// row of zeros: how tokens become vectors.
	UnpackRows(y Tensor, w Weight, ids Ints)

	// Copy: dst[i] = src[i].
	Copy(dst, src Tensor)
	// Fill: dst[i] = v.
	Fill(dst Tensor, v float32)
}

// Products are the ops that cost: everything with a matrix.
type Products interface {
	// MatMul: y[t,n] = Σ_k x[t,k]·w[n,k]        y [T out], x [T in]
	// Against a Q8 weight a device may round x to Q8 as well, block by block.
	MatMul(y, x Tensor, w Weight)
	// MatMulT: dx[t,k] = Σ_n dy[t,n]·w[n,k], plus dx[t,k] where acc      dx [T in], dy [T out]
	MatMulT(dx, dy Tensor, w Weight, acc bool)
	// Gemm: c = op(a, b) in the orientation o, plus c where acc.
	Gemm(o Orientation, c, a, b Tensor, acc bool)

	// ScaleCols: y[t,j] = x[t,j]·z[r(t),j] with r(t) = rows[t], or 0 where rows is zero.
	// y may be x. z [S n]: a vector for each of S sequences in a batch (σ∘z, one expert a row).
	ScaleCols(y, x, z Tensor, rows Ints)
	// ColDot: d[0,j] += Σ_t a[t,j]·b[t,j]       the gradient of z: diag(AᵀB)
	ColDot(d, a, b Tensor)

	// Attention, causal by its spans: query row t of head h sees key rows [spans[2t], spans[2t+1]):
	//
	//	p[s] = softmax_s(Scale · q[t,h]·k[s,h'])     o[t,h] = Σ_s p[s]·v[s,h']
	//
	// One form serves a packed batch, a kv cache and a sliding window. An empty span gives zeros.
	// lse, if given, is [T Q]: log Σ exp of the scaled scores (−Inf for an empty span).
	Attention(o, lse, q, k, v Tensor, spans Ints, h Heads)
	// AttentionGrad: dq, dk, dv (all overwritten) from do, with o and lse as Attention left them.
	AttentionGrad(dq, dk, dv, do, o, lse, q, k, v Tensor, spans Ints, h Heads)
}

// Layers are the cheap ops between the products.
type Layers interface {
	// Add: y[i] += x[i].
	Add(y, x Tensor)
	// RMSNorm: y[t,j] = x[t,j]·r[t]·g[j], r[t] = 1/√(mean_j x[t,j]² + eps).   g [1 n]
	RMSNorm(y, x, g Tensor, eps float32)
	// RMSNormGrad: with u = dy∘g:
	//
	//	dx[t,j] += r[t]·(u[t,j] − x[t,j]·r[t]²·mean_i(u[t,i]·x[t,i]))
	//	dg[j]   += Σ_t dy[t,j]·x[t,j]·r[t]        left out where dg is zero
	RMSNormGrad(dx, dg, dy, x, g Tensor, eps float32)
	// RoPE turns pairs (i, i+Dim/2) of each head in place (the Hugging Face order):
	//
	//	c, s = cosSin[pos[t], i], cosSin[pos[t], Dim/2+i]      a, b = x[t,i], x[t,i+Dim/2]
	//	x[t,i], x[t,i+Dim/2] = a·c − b·s, b·c + a·s            inverse: −s in place of s
	//
	// cosSin [positions Dim]; x [T heads·Dim]. The inverse is also the gradient.
	RoPE(x, cosSin Tensor, pos Ints, dim int, inverse bool)
	// SwiGLU: y = silu(gate)∘up, silu(a) = a/(1+e^−a). y may be gate or up.
	SwiGLU(y, gate, up Tensor)
	// SwiGLUGrad: dgate = dy∘up∘silu'(gate), dup = dy∘silu(gate).
	// dgate may be gate, and dup may be up.
	SwiGLUGrad(dgate, dup, dy, gate, up Tensor)
	// GatherRows: y[t] = table[ids[t]]. An id outside the table gives a row of zeros.
	GatherRows(y, table Tensor, ids Ints)
	// ScatterAddRows: dtable[ids[t]] += dy[t], in the order of t. Ids outside are left out.
	ScatterAddRows(dtable, dy Tensor, ids Ints)
	// ScatterRows: dst[ids[t]] = src[t] (distinct ids): how keys and values enter a cache.
	ScatterRows(dst, src Tensor, ids Ints)
	// ArgMax: ids[t] = the least j with x[t,j] = max; NaN never wins.
	ArgMax(ids Ints, x Tensor)
}

// Losses end a training step.
type Losses interface {
	// LogProbs: lp[t,0] = logits[t,targets[t]] − log Σ_v exp logits[t,v].  lp [T 1]
	// A negative target gives 0.
	LogProbs(lp, logits Tensor, targets Ints)
	// LogProbsGrad: the gradient of −Σ_t w[t]·lp[t]. w [T 1]. d may be logits.
	//
	//	d[t,v] = w[t]·(softmax(logits[t])[v] − [v = targets[t]])      a negative target gives 0
	LogProbsGrad(d, logits Tensor, targets Ints, w Tensor)
	// KL: kl[t,0] = Σ_v p[v]·(log p[v] − log q[v]), p = softmax(logits[t]), q = softmax(ref[t]):
	// D_KL(policy ‖ reference), exact over the vocabulary, as the paper writes it.
	KL(kl, logits, ref Tensor)
	// KLGrad: d[t,v] += w[t]·p[v]·(log p[v] − log q[v] − KL[t]). d may not be logits or ref.
	KLGrad(d, logits, ref, w Tensor)
	// KLForwardGrad: d[t,v] += w[t]·(p[v] − q[v]): the gradient of D_KL(reference ‖ policy),
	// which the released code uses.
	KLForwardGrad(d, logits, ref, w Tensor)

	// SumSquares: sum[0] += Σ x[i]².
	SumSquares(sum, x Tensor)
	// AdamW updates p, m, v in place from g:
	//
	//	g' = GradScale·g    m = β1·m + (1−β1)·g'    v = β2·v + (1−β2)·g'²
	//	p −= LR·( (m/(1−β1^Step)) / (√(v/(1−β2^Step)) + Eps) + WeightDecay·p )
	AdamW(p, g, m, v Tensor, a AdamWParams)
}

// Dense64 is the f64 arithmetic that a decomposition needs. A device whose arithmetic has f64 may
// also be a Dense64; linalg brings a plain one of its own.
//
// Matrices are slices with strides: element (i, k) of a is a[i*ars + k*acs].
type Dense64 interface {
	// Gemm64: c[i*ldc+j] += alpha·Σ_k a(i,k)·b(k,j)       m×n, inner k
	Gemm64(m, n, k int, alpha float64, a []float64, ars, acs int, b []float64, brs, bcs int,
		c []float64, ldc int)
	// Symv64: y = A x for a symmetric n×n A of which the lower triangle (j ≤ i) is read:
	//
	//	y[i] = Σ_{j≤i} a[i*lda+j]·x[j] + Σ_{j>i} a[j*lda+i]·x[j]
	Symv64(n int, a []float64, lda int, x, y []float64)
	// Parallel calls f on disjoint ranges that cover [0, n), each of at least grain except the last.
	Parallel(n, grain int, f func(lo, hi int))
}
