"""What our figures are measured against: OpenBLAS, LAPACK and PyTorch, in one process.

Reads a request a line, "ID VERB ARGS", and answers each with one line:

    ID ok NUMBER... [| TEXT]      ID missing DEBIAN-PACKAGE      ID error TEXT

Libraries are imported when they are first needed.
"""
import ctypes, importlib, math, os, sys, time

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # what a library prints must not look like an answer


class Missing(Exception):
    pass


def need(module, package):
    try:
        return importlib.import_module(module)
    except ImportError:
        raise Missing(package)


class Blas:
    """The OpenBLAS that numpy, scipy and torch share."""

    def __init__(self):
        need("numpy", "python3-numpy")
        with open("/proc/self/maps") as maps:
            paths = {line.split()[-1] for line in maps if "openblas" in line.rsplit("/", 1)[-1]}
        if not paths:
            raise Missing("libopenblas0-pthread")
        self.lib = ctypes.CDLL(sorted(paths)[0])

    def function(self, name, result=None):
        for suffix in "", "64_":
            if hasattr(self.lib, name + suffix):
                f = getattr(self.lib, name + suffix)
                f.restype = result
                return f
        raise Missing("libopenblas0-pthread")

    def threads(self, n):
        self.function("openblas_set_num_threads")(n)

    def name(self):
        config = self.function("openblas_get_config", ctypes.c_char_p)().decode().split()
        core = self.function("openblas_get_corename", ctypes.c_char_p)().decode()
        return "%s %s %s" % (config[0], config[1], core)


shared = {}


def once(key, make):
    if key not in shared:
        shared[key] = make()
    return shared[key]


def blas_threads(n):
    once("blas", Blas).threads(n)


def blas():
    return [], once("blas", Blas).name()


def fastest(seconds, f):
    best, start = math.inf, time.perf_counter()
    while True:
        begin = time.perf_counter()
        f()
        end = time.perf_counter()
        best = min(best, end - begin)
        if end - start >= seconds:
            return best


def gemm(m, n, k, threads, seconds):
    """Seconds of C = A Bt in f32: A [m k], B [n k]."""
    np = need("numpy", "python3-numpy")
    blas_threads(int(threads))

    def operands():
        rng = np.random.default_rng(1)
        a, b = (rng.standard_normal((r, int(k)), dtype=np.float32) for r in (int(m), int(n)))
        return a, b, np.empty((int(m), int(n)), np.float32)

    a, b, c = once(("gemm", m, n, k), operands)
    return [fastest(float(seconds), lambda: np.matmul(a, b.T, out=c))], ""


def svd(n, threads):
    """Seconds of U, sigma, Vt of an n x n matrix in f64."""
    linalg = need("scipy.linalg", "python3-scipy")
    np = need("numpy", "python3-numpy")
    blas_threads(int(threads))
    a = once(("svd", n), lambda: np.asfortranarray(
        np.random.default_rng(1).standard_normal((int(n), int(n)))))
    begin = time.perf_counter()
    linalg.svd(a, full_matrices=False, lapack_driver="gesdd", check_finite=False)
    return [time.perf_counter() - begin], ""


def torch_svd(n):
    """Seconds of U, sigma, Vt of an n x n matrix in f32 on the GPU that PyTorch sees first."""
    torch = need("torch", "python3-torch")
    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch %s sees no GPU" % torch.__version__)
    torch.manual_seed(1)
    a = torch.randn(int(n), int(n), device="cuda")
    best = math.inf
    for _ in range(3):  # the first loads libraries
        torch.cuda.synchronize()
        begin = time.perf_counter()
        torch.linalg.svd(a, full_matrices=False)
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return [best], "PyTorch %s on %s" % (torch.__version__, torch.cuda.get_device_name())


def noise(np, stream, n):
    """n integers below 2^32: the same as in pretrain.go."""
    x = (np.arange(1, n + 1, dtype=np.uint64) + np.uint64(stream) * np.uint64(1000003))
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return (x ^ (x >> np.uint64(32))) & np.uint64(0xFFFFFFFF)


class Training:
    """A Llama of tied embeddings, written plainly, and its AdamW."""

    def __init__(self, vocab, dim, layers, hidden, heads, kv, context, docs):
        torch = self.torch = need("torch", "python3-torch")
        np = need("numpy", "python3-numpy")
        self.heads, self.kv, self.size = heads, kv, dim // heads
        self.matrices, self.gains = [], []

        def matrix(rows, cols):
            x = noise(np, len(self.matrices), rows * cols).astype(np.float64)
            w = ((x / 2**32 - 0.5) * 0.07).astype(np.float32).reshape(rows, cols)
            self.matrices.append(torch.nn.Parameter(torch.from_numpy(w)))
            return self.matrices[-1]

        def gain():
            self.gains.append(torch.nn.Parameter(torch.ones(dim)))
            return self.gains[-1]

        self.embed = matrix(vocab, dim)
        self.layers = []
        for _ in range(layers):
            shapes = dict(q=(dim, dim), k=(kv * self.size, dim), v=(kv * self.size, dim),
                          o=(dim, dim), gate=(hidden, dim), up=(hidden, dim), down=(dim, hidden))
            weights = {name: matrix(*shape) for name, shape in shapes.items()}
            self.layers.append(dict(weights, attn_norm=gain(), mlp_norm=gain()))
        self.norm = gain()
        half = torch.arange(self.size // 2, dtype=torch.float64)
        angle = torch.outer(torch.arange(context, dtype=torch.float64),
                            10000 ** (-2 * half / self.size)).float()
        self.cos, self.sin = angle.cos(), angle.sin()  # [T size/2]
        self.mask = torch.full((context, context), -math.inf).triu(1)
        ids = noise(np, 1 << 20, docs * (context + 1)) % np.uint64(vocab)
        ids = torch.from_numpy(ids.astype(np.int64)).view(docs, context + 1)
        self.tokens, self.targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
        self.adamw = torch.optim.AdamW(
            [dict(params=self.matrices, weight_decay=0.05),
             dict(params=self.gains, weight_decay=0.0)],
            lr=1e-3, betas=(0.9, 0.98), eps=1e-8)

    def parameters(self):
        return sum(p.numel() for p in self.matrices + self.gains)

    def rms(self, x, gain):
        return x * self.torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * gain

    def rope(self, x):  # [B H T size]
        a, b = x.chunk(2, -1)
        return self.torch.cat((a * self.cos - b * self.sin, b * self.cos + a * self.sin), -1)

    def attention(self, q, k, v):
        f = self.torch.nn.functional
        k = k.repeat_interleave(self.heads // self.kv, 1)
        v = v.repeat_interleave(self.heads // self.kv, 1)
        if hasattr(f, "scaled_dot_product_attention"):
            return f.scaled_dot_product_attention(q, k, v, is_causal=True)
        return (q @ k.transpose(-1, -2) * self.size ** -0.5 + self.mask).softmax(-1) @ v

    def loss(self):
        f = self.torch.nn.functional
        docs, length = self.tokens.shape

        def split(x, heads):
            return x.view(docs, length, heads, self.size).transpose(1, 2)

        x = f.embedding(self.tokens, self.embed)
        for w in self.layers:
            h = self.rms(x, w["attn_norm"])
            q = self.rope(split(h @ w["q"].T, self.heads))
            k = self.rope(split(h @ w["k"].T, self.kv))
            o = self.attention(q, k, split(h @ w["v"].T, self.kv))
            x = x + o.transpose(1, 2).reshape(docs, length, -1) @ w["o"].T
            h = self.rms(x, w["mlp_norm"])
            x = x + (f.silu(h @ w["gate"].T) * (h @ w["up"].T)) @ w["down"].T
        logits = self.rms(x, self.norm) @ self.embed.T
        return f.cross_entropy(logits.flatten(0, 1), self.targets.flatten())

    def step(self):
        begin = time.perf_counter()
        self.adamw.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.matrices + self.gains, 1.0)
        self.adamw.step()
        return [time.perf_counter() - begin, loss.item()], ""


def train_begin(threads, *shape):
    shared["training"] = t = Training(*map(int, shape))
    t.torch.set_num_threads(int(threads))
    try:
        blas_threads(int(threads))
    except Missing:
        pass  # a PyTorch that brings its own
    return [t.parameters()], "PyTorch %s" % t.torch.__version__


def train_step():
    return shared["training"].step()


verbs = dict(blas=blas, gemm=gemm, svd=svd, torch_svd=torch_svd, train_begin=train_begin,
             train_step=train_step)


def answer(line):
    number, verb, *args = line.split()
    try:
        numbers, text = verbs[verb](*args)
        return "%s ok %s | %s" % (number, " ".join(map(repr, map(float, numbers))), text)
    except Missing as package:
        return "%s missing %s" % (number, package)
    except Exception as error:
        return "%s error %s" % (number, " ".join(repr(error).split()))


for line in sys.stdin:
    if line.strip():
        answers.write(answer(line) + "\n")
