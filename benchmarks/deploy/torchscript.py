"""From nothing to a first output with PyTorch: a frozen TorchScript file, which needs no definition of the model.

    torchscript.py MODEL.ts DIMS FILE        DIMS as 1x3x224x224; FILE has the input's floats
"""
import sys
import time

import torch

torch.set_num_threads(1)
model, dims, file = sys.argv[1:]
module = torch.jit.load(model)
with open(file, "rb") as raw:
    data = torch.frombuffer(bytearray(raw.read()), dtype=torch.float32)
data = data.reshape([int(n) for n in dims.split("x")])
with torch.inference_mode():
    result = module(data).ravel()
values = result[:4].tolist()
print(time.monotonic_ns(), *map(repr, values))
