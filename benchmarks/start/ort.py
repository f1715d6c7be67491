"""From nothing to a first output with ONNX Runtime in Python: what start.h tells of programs."""
import sys
import time

import numpy as np
import onnxruntime as ort

model, name, dims, file, output = sys.argv[1:]
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
data = np.fromfile(file, np.float32).reshape([int(n) for n in dims.split("x")])
result = session.run([output], {name: data})[0].ravel()
print(time.monotonic_ns(), *map(repr, map(float, result[:8])))
