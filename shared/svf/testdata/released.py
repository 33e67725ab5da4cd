# What the paper's released code keeps and computes, in f32: a model's MLP matrices, their torch.svd,
# logits in both of its layouts, and W' = U diag(S z) Vt * sum(S) / sum(S z), z = sigmoid(p).
import sys

import torch

folder = sys.argv[1]
torch.manual_seed(1)
model, decomposed, adapted, logits = {}, {}, {}, {}
for layer in range(2):
    for role, (out, n) in {"gate": (48, 32), "up": (48, 32), "down": (32, 48)}.items():
        name = f"model.layers.{layer}.mlp.{role}_proj.weight"
        w = model[name] = torch.randn(out, n)
        u, s, v = torch.svd(w)
        decomposed[name + ".U"], decomposed[name + ".S"], decomposed[name + ".V"] = u, s, v
        p = logits[name] = torch.nn.Parameter((0.1 + torch.randn(s.shape)).bfloat16())
        z = torch.sigmoid(p.detach().float())
        adapted[name] = u @ torch.diag(s * z) @ v.T * (s.sum() / (s * z).sum())
policy = torch.nn.Module()
policy.learnable_params_module_list = torch.nn.ParameterList(logits.values())
torch.save(model, f"{folder}/model.pt")
torch.save(decomposed, f"{folder}/decomposed.pt")
torch.save(adapted, f"{folder}/adapted.pt")
torch.save(policy.state_dict(), f"{folder}/policy_params.pt")
torch.save(logits, f"{folder}/learnable_params.pt")
