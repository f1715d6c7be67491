#!/bin/sh
# TensorBoard's own reader gives back what tests/events.c writes.
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
skip() { echo "ok 1 # SKIP $1"; echo "1..1"; exit 0; }
command -v python3 >/dev/null || skip "no python3"
[ -x "$BUILD/tests/events" ] || make -s MODE="${MODE:-default}" CC="${CC:-gcc}" "$BUILD/tests/events" >&2 || exit 1
VENV_SIZE='about 180 MB' tests/tools/venv.sh build/venv-tensorboard tensorboard==2.21.0 >&2 ||
    skip "TensorBoard cannot be installed"
run=$BUILD/tensorboard-run
rm -rf "$run"
"$BUILD/tests/events" "$run" || { echo "not ok 1 - events are written"; echo "1..1"; exit 1; }
build/venv-tensorboard/bin/python tests/tools/read_events.py "$run"
