"""half.safetensors: numbers in f32, f16 and bf16 as torch converts them. Made with torch 2.15.0, safetensors 0.8.0.

`f32` is what is to be rounded; `f16` and `bf16` are torch's roundings of it; `f16.f32` and `bf16.f32` are these again
in f32; `all16` are finite bit patterns of f16 with every exponent (subnormal ones too), `all16.f32` the same in f32.
"""
import pathlib

import torch
from safetensors.torch import save_file

one = torch.tensor(1.0)
ties = torch.cat([1 + (2 * torch.arange(8) + 1) * 2.0**-p for p in (8, 9, 11, 12)])  # half-way between neighbours
near = torch.nextafter(ties, 2 * one)
small = torch.tensor([0.0, -0.0, 1e-45, 6e-8, 5.9604645e-08, 2.9802322e-08, 3.1e-8, 6.1e-5, 6.0976e-5, 1e-38, 1.18e-38])
large = torch.tensor([65504.0, 65519.0, 1000.1, 1 / 3, 2 / 3, 0.1])
values = torch.cat([ties, near, small, large])
values = torch.cat([values, -values])
bits = torch.arange(0, 65536, 61).to(torch.int32).to(torch.int16).view(torch.float16)
all16 = bits[torch.isfinite(bits)].clone()
f16, bf16 = values.to(torch.float16), values.to(torch.bfloat16)
save_file({"f32": values, "f16": f16, "bf16": bf16, "f16.f32": f16.float(), "bf16.f32": bf16.float(), "all16": all16,
           "all16.f32": all16.float()}, pathlib.Path(__file__).resolve().parent / "half.safetensors")
