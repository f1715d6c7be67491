#!/bin/sh
# The benchmark's own arithmetic; in the long mode also a warning when Tenon has become slower beside ONNX
# Runtime than benchmarks/guard.json says.
#
# A warning is no failure: another machine, or work beside this, gives other ratios.
cd "$(dirname "$0")/.." || exit 1
guard() {
    [ -n "${TN_LONG:-}" ] || { echo "ok - ratios to ONNX Runtime # SKIP only in the long mode"; return; }
    [ "${MODE:-default}" = default ] || { echo "ok - ratios to ONNX Runtime # SKIP not in this build"; return; }
    packages=$(grep -E '^(onnxruntime|onnx|numpy)==' benchmarks/requirements.txt)
    # shellcheck disable=SC2086
    tests/tools/venv.sh build/venv-guard $packages >&2 ||
        { echo "ok - ratios to ONNX Runtime # SKIP ONNX Runtime cannot be installed"; return; }
    build/venv-guard/bin/python benchmarks/guard.py || printf 'not '
    echo "ok - ratios to ONNX Runtime"
}
command -v python3 >/dev/null || { echo "ok - the benchmark's arithmetic # SKIP no python3"; exit; }
python3 benchmarks/selftest.py
guard
