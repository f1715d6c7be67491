#!/bin/sh
# Files of tensors go from NumPy and the safetensors package through Tenon and back bit for bit.
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
skip() { echo "ok 1 # SKIP $1"; echo "1..1"; exit 0; }
command -v python3 >/dev/null || skip "no python3"
[ -x "$BUILD/tests/archives" ] || make -s MODE="${MODE:-default}" CC="${CC:-gcc}" "$BUILD/tests/archives" >&2 || exit 1
VENV_SIZE='about 100 MB' tests/tools/venv.sh build/venv-interchange numpy==2.4.6 safetensors==0.8.0 >&2 ||
    skip "NumPy and safetensors cannot be installed"
folder=$BUILD/interchange
rm -rf "$folder"
mkdir -p "$folder"
build/venv-interchange/bin/python tests/tools/interchange.py "$BUILD/tests/archives" "$folder"
