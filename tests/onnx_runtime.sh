#!/bin/sh
# Exported models beside ONNX's checker and ONNX Runtime: what tests/onnx_export.c writes, and real models imported and
# exported again, as they are and as the passes leave them.
#
# in:  the test program, $TENON, build/models
# out: one TAP line a check; a Python environment of its own in build/venv-onnx
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
work=$build/test-logs/onnx-export-work
packages=$(grep -E '^(onnxruntime|onnx|numpy)==' benchmarks/requirements.txt)
skip() {
    echo "1..1"
    echo "ok 1 - exported models in ONNX Runtime # SKIP $1"
    exit
}
[ "${MODE:-default}" = default ] || skip "not in this build"
[ -x "$build/tests/onnx_export" ] || skip "make $build/tests/onnx_export first"
command -v python3 >/dev/null || skip "no python3"
# shellcheck disable=SC2086
tests/tools/venv.sh build/venv-onnx $packages >&2 || skip "ONNX Runtime cannot be installed"
python=build/venv-onnx/bin/python

rm -rf "$work" && mkdir -p "$work/samples" "$work/models"
if TN_EXPORT_DIR=$work/samples "$build/tests/onnx_export" >"$work/log" 2>&1 &&
    $python tests/onnx/export_check.py samples "$work/samples" >"$work/samples.log"; then
    echo "ok 1 - $(tail -n 1 "$work/samples.log")"
else
    echo "not ok 1 - every op and random graphs in ONNX Runtime"
    tail -n 20 "$work/log" "$work/samples.log" | sed 's/^/# /'
fi
sed -n 's/^stopped //p' "$work/samples.log" >"$work/stopped"

# Small ones that are quick to run; in the long mode all. After fuse, kernels are functions of the model.
n=1
for stage in import layout fuse; do
    failed=
    rm -f "$work"/models/*
    for model in build/models/*.onnx; do
        [ -e "$model" ] || continue
        case ${TN_LONG:-}$(basename "$model") in light_* | random_* | ch_PP-OCR* | paraphrase*) continue ;; esac
        "${TENON:-build/tenon}" export "$model" --after $stage -o "$work/models/$(basename "$model")" --drop-effects \
            2>>"$work/log" || failed="$failed $(basename "$model")"
    done
    n=$((n + 1))
    [ -z "$failed" ] || printf 'not '
    echo "ok $n - real models are exported after $stage${failed:+, but not$failed}"
    n=$((n + 1))
    if ! ls "$work"/models/*.onnx >/dev/null 2>&1; then
        echo "ok $n - real models exported after $stage # SKIP there are none"
    elif $python tests/onnx/export_check.py models build/models "$work/models" tests/models/cases.txt \
        >"$work/models.log"; then
        echo "ok $n - real models exported after $stage: $(tail -n 1 "$work/models.log")"
    else
        echo "not ok $n - real models exported after $stage"
        sed 's/^/# /' "$work/models.log"
    fi
done
# A check each that ONNX Runtime did not live through, for an empty axis.
while IFS= read -r sample; do
    n=$((n + 1))
    echo "ok $n - ${sample%%: *} # SKIP ${sample#*: }"
done <"$work/stopped"
echo "1..$n"
rm -rf "$work"
