"""AdamW of PyTorch on two variables over 12 updates with clipping and a cosine: make.py OUT_FILE

Made with torch 2.15.0, CPU, f32. `w` decays, `b` does not and has half the learning rate. Gradients are given.
"""
import math
import sys

import torch
from safetensors.torch import save_file

torch.manual_seed(0)
w, b = torch.nn.Parameter(torch.randn(5, 7)), torch.nn.Parameter(torch.randn(7))
out = {"w.start": w.detach().clone(), "b.start": b.detach().clone()}
optimizer = torch.optim.AdamW([{"params": [w], "weight_decay": 0.1}, {"params": [b], "weight_decay": 0.0}],
                              lr=1.0, betas=(0.9, 0.95), eps=1e-8, foreach=False)
norms = []
for step in range(12):
    w.grad, b.grad = torch.randn(5, 7) * 10 ** (step % 3 - 2), torch.randn(7) * 0.1
    out |= {f"w.grad.{step}": w.grad.clone(), f"b.grad.{step}": b.grad.clone()}
    norms.append(torch.nn.utils.clip_grad_norm_([w, b], 1.0).item())
    lr = 0.02 * 0.5 * (1 + math.cos(math.pi * step / 12))
    optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = lr, lr / 2
    optimizer.step()
    out |= {f"w.{step}": w.detach().clone(), f"b.{step}": b.detach().clone()}
out["norms"] = torch.tensor(norms, dtype=torch.float64)
save_file(out, sys.argv[1])
