"""Sends arrays of every dtype and layout through Tenon, from each file format to each; prints TAP.

    interchange.py PROGRAM FOLDER      PROGRAM FROM TO reads one file of tensors and writes another
"""
import os
import subprocess
import sys

import numpy
import safetensors
from safetensors.numpy import load_file, save_file

program, folder = sys.argv[1:]
rng = numpy.random.default_rng(1)
DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]
arrays = {}
for dtype in DTYPES:
    bits = rng.integers(0, 256, 24 * numpy.dtype(dtype).itemsize, dtype=numpy.uint8)
    arrays[f"layer.{dtype}"] = (bits % 2).astype(bool) if dtype == "bool" else bits.view(dtype).reshape(2, 3, 4)
arrays["scalar"] = numpy.array(numpy.float32(3.25))
arrays["none"] = numpy.zeros((0, 5), numpy.int64)
arrays["Größe/ß"] = numpy.arange(7, dtype=numpy.float64)

turned = {name: numpy.array(a, order="F") for name, a in arrays.items()}
big_endian = {name: a.astype(a.dtype.newbyteorder(">")) for name, a in arrays.items()}
metadata = {"format": "np", "note": "\"quoted\" ü\n"}


def same(a, b):
    return list(sorted(a)) == list(sorted(b)) and all(
        a[n].dtype == b[n].dtype and a[n].shape == b[n].shape and a[n].tobytes() == b[n].tobytes() for n in a)


def load(path):
    if path.endswith(".safetensors"):
        return load_file(path)
    with numpy.load(path) as z:
        return dict(z)


sources = {"stored.npz": lambda p: numpy.savez(p, **arrays), "packed.npz": lambda p: numpy.savez_compressed(p, **arrays),
           "fortran.npz": lambda p: numpy.savez(p, **turned), "bigendian.npz": lambda p: numpy.savez(p, **big_endian),
           "x.safetensors": lambda p: save_file(arrays, p, metadata=metadata)}
targets = ["out.npz", "out.deflated.npz", "out.safetensors"]
print(f"1..{len(sources) * len(targets) + 2}")
count = 0


def check(name, holds):
    global count
    count += 1
    print(f"{'ok' if holds else 'not ok'} {count} - {name}", flush=True)


for source, save in sources.items():
    save(os.path.join(folder, source))
    for target in targets:
        to = os.path.join(folder, source + "." + target)
        done = subprocess.run([program, os.path.join(folder, source), to])
        check(f"{source} to {target}", done.returncode == 0 and same(load(to), arrays))

with safetensors.safe_open(os.path.join(folder, "x.safetensors.out.safetensors"), "np") as f:
    kept = f.metadata()
check("a note is kept", len(kept) == 1 and all(metadata[k] == v for k, v in kept.items()))

for i, a in enumerate([arrays["layer.float32"], turned["layer.int16"], big_endian["layer.float64"], arrays["scalar"]]):
    numpy.save(os.path.join(folder, "a.npy"), a)
    subprocess.run([program, os.path.join(folder, "a.npy"), os.path.join(folder, f"b{i}.npy")], check=True)
    b = numpy.load(os.path.join(folder, f"b{i}.npy"))
    if a.dtype.newbyteorder("=") != b.dtype or a.shape != b.shape or a.astype(b.dtype).tobytes() != b.tobytes():
        check(f".npy number {i}", False)
        break
else:
    check(".npy of each layout", True)
