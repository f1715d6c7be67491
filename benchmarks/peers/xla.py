"""JAX: the ONNX graph as a JAX function (onnx_jax.py), compiled by jax.jit, weights as device arrays."""
import jax
import onnx

import onnx_jax
from peers import Skip

NAME = "jax"


def load(row, inputs, threads):
    # Sizes of 64 bits, as ONNX has them; threads follow the CPUs that the process may run on.
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        function, weights = onnx_jax.convert(onnx.load(row["model"]))
        weights = jax.device_put(weights)
        arrays = [jax.device_put(array) for array in inputs]
        compiled = jax.jit(function).lower(weights, *arrays).compile()
    except onnx_jax.Unsupported as reason:
        raise Skip(f"no JAX definition: {reason}")
    results = []

    def run():
        results[:] = jax.block_until_ready(compiled(weights, *arrays))

    return run, lambda: [jax.device_get(array) for array in results]
