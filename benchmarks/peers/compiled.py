"""torch.compile with frozen weights, which is what its documentation recommends for inference on CPUs."""
import shutil

import torch

from peers import Skip, eager

NAME = "torch.compile"


def load(row, inputs, threads):
    if not shutil.which("g++"):
        raise Skip("no g++, which it compiles with")
    import torch._inductor.config

    torch._inductor.config.freezing = True
    torch._inductor.config.cpp.threads = threads
    module, tensors = eager.module_and_inputs(row, inputs, threads)
    return eager.runner(torch.compile(module, dynamic=False), tensors)
