"""What the figures were measured on and with."""
import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess

import places


def cores():
    return sorted(os.sched_getaffinity(0))


def cpu_name():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def describe():
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) * 1024
    with open("/proc/cpuinfo") as file:
        flags = next((line.split(":", 1)[1].split() for line in file if line.startswith("flags")), [])
    wanted = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
    return {
        "cpu": cpu_name(),
        "cpus": len(cores()),
        "features": [flag for flag in wanted if flag in flags],
        "memory_bytes": memory,
        "system": platform.platform(),
    }


def package(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def versions():
    """The commit alone does not tell what was built: the program's own sum does."""
    said = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=places.ROOT, capture_output=True, text=True)
    with open(places.TENON, "rb") as file:
        program = hashlib.sha256(file.read()).hexdigest()[:16]
    libraries = ("onnxruntime", "openvino", "torch", "torchvision", "transformers", "jax", "onnx", "numpy")
    return {"tenon": said.stdout.strip() or None, "tenon_program": program, "python": platform.python_version(),
            **{name: package(name) for name in libraries}}
