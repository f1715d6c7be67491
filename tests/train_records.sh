#!/bin/sh
# TensorBoard's own reader shows what `tenon train --tensorboard` writes: scalars, histograms, the graph.
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
skip() { echo "ok 1 # SKIP $1"; echo "1..1"; exit 0; }
command -v python3 >/dev/null || skip "no python3"
VENV_SIZE='about 180 MB' tests/tools/venv.sh build/venv-tensorboard tensorboard==2.21.0 >&2 ||
    skip "TensorBoard cannot be installed"
run=$BUILD/train-records
rm -rf "$run"
"${TENON:-$BUILD/tenon}" train digits --epochs 2 --tensorboard "$run" >&2 ||
    { echo "not ok 1 - a run is recorded"; echo "1..1"; exit 1; }
build/venv-tensorboard/bin/python tests/tools/read_training.py "$run"
