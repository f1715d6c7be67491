#!/bin/sh
# Warns when Tenon has become slower beside ONNX Runtime than benchmarks/guard.json says (long mode only).
#
# A warning is no failure: another machine, or work beside this, gives other ratios.
cd "$(dirname "$0")/.." || exit 1
echo 1..1
[ -n "${TN_LONG:-}" ] || { echo "ok 1 - ratios to ONNX Runtime # SKIP only in the long mode"; exit; }
[ "${MODE:-default}" = default ] || { echo "ok 1 - ratios to ONNX Runtime # SKIP not in this build"; exit; }
packages=$(grep -E '^(onnxruntime|onnx|numpy)==' benchmarks/requirements.txt)
# shellcheck disable=SC2086
tests/tools/venv.sh build/venv-guard $packages >&2 || { echo "ok 1 - ratios # SKIP ONNX Runtime cannot be installed"; exit; }
if build/venv-guard/bin/python benchmarks/guard.py; then
    echo "ok 1 - ratios to ONNX Runtime"
else
    echo "not ok 1 - ratios to ONNX Runtime"
fi
