# Continues token ids greedily with a directory as Hugging Face lays it out, in the arithmetic of its
# LlamaForCausalLM, f64: greedy.py DIRECTORY COUNT ID...
import json
import math
import struct
import sys

import torch

folder, count, ids = sys.argv[1], int(sys.argv[2]), [int(i) for i in sys.argv[3:]]
c = json.load(open(f"{folder}/config.json"))
raw = open(f"{folder}/model.safetensors", "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
header = json.loads(raw[8:8 + n])
types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
w = {}
for name, t in header.items():
    if name != "__metadata__":
        begin, end = t["data_offsets"]
        data = torch.frombuffer(bytearray(raw[8 + n + begin:8 + n + end]), dtype=types[t["dtype"]])
        w[name.removesuffix(".weight")] = data.reshape(t["shape"]).double()
heads, groups = c["num_attention_heads"], c["num_key_value_heads"]
dim = c.get("head_dim") or c["hidden_size"] // heads


def norm(x, name):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + c["rms_norm_eps"]) * w[name]


def rope(x):  # [T heads dim]
    frequency = c["rope_theta"] ** (-torch.arange(0, dim, 2).double() / dim)
    angle = torch.outer(torch.arange(len(x)).double(), frequency).repeat(1, 2)[:, None]
    a, b = x.chunk(2, -1)
    return x * angle.cos() + torch.cat((-b, a), -1) * angle.sin()


def logits(ids):
    x = w["model.embed_tokens"][ids]
    mask = torch.full((len(ids), len(ids)), -math.inf).double().triu(1)
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        h = norm(x, p + "input_layernorm")
        q, k, v = ((h @ w[f"{p}self_attn.{r}_proj"].T).reshape(len(ids), -1, dim) for r in "qkv")
        q, k = rope(q), rope(k).repeat_interleave(heads // groups, 1)
        v = v.repeat_interleave(heads // groups, 1)
        scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(dim) + mask
        h = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).reshape(len(ids), -1)
        x = x + h @ w[p + "self_attn.o_proj"].T
        h = norm(x, p + "post_attention_layernorm")
        gate, up = h @ w[p + "mlp.gate_proj"].T, h @ w[p + "mlp.up_proj"].T
        x = x + (torch.nn.functional.silu(gate) * up) @ w[p + "mlp.down_proj"].T
    return norm(x, "model.norm")[-1] @ w.get("lm_head", w["model.embed_tokens"]).T


for _ in range(count):
    ids.append(int(logits(ids).argmax()))
print(*ids[-count:])
