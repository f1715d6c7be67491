#!/bin/sh
# tenon bisect and tenon reduce: nothing leaves in the stock build; planted faults are found.
#
# in:  $TENON, graphs of tests/bisect, runtime/faults.def; a build with faults, which is made here
# out: one TAP line for each graph, and for each fault: that it is found at its stage, shown by at most 10 nodes, and
#      found in these again. A few faults, all of them in the long mode (TN_LONG=1)
TENON=$(realpath "${TENON:-build/tenon}")
cd "$(dirname "$0")/.." || exit 1
root=$PWD
. tests/lib/program.sh
work=$(realpath -m "${BUILD:-build}/test-logs/bisect-work")
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1

# ---- The stock build ---------------------------------------------------------------------------------

for graph in cnn dense mixed; do
    tenon bisect "$root/tests/bisect/$graph.tn"
    ok "nothing leaves in $graph" says 0 "nothing leaves: compared" out
done
tenon bisect "$root/tests/bisect/dense.tn" --set n=3 --weight-type int8 --threads 2
ok "narrow weights don't count as a fault" says 0 "on 2 threads with those on 1" out
tenon bisect "$root/tests/bisect/mixed.tn" --json
ok "as JSON" says 0 '"leaves": false' out
tenon bisect "$root/tests/bisect/dense.tn" --gemm blas
ok "BLAS is not followed" says 1 'gemm must be "own"' err
tenon dump "$root/tests/bisect/dense.tn" --after fuse -o fused.tn
tenon bisect fused.tn
ok "packed weights are refused" says 1 "it has a function prepare" err
tenon bisect "$root/tests/bisect/mixed.tn" -o small.onnx
ok "usage: the reproducer is text" says 2 "-o: small.onnx is no .tn file" err

# ---- Planted faults ----------------------------------------------------------------------------------

if [ "${MODE:-default}" != default ]; then
    echo "ok $((n + 1)) - planted faults # SKIP in the stock build alone"
    echo "1..$((n + 1))"
    exit 0
fi
if ! (cd "$root" && make --no-print-directory MODE=faults -j2 build/faults/tenon >"$work/make.log" 2>&1); then
    sed 's/^/# /' make.log | tail -n 20
    ok "the build with faults" false
    echo "1..$n"
    exit 1
fi
faulty=$root/build/faults/tenon

# The first graph that shows it, and what is found there.
find_fault() { # name
    for graph in cnn dense mixed; do
        TENON_FAULT=$1 "$faulty" bisect "$root/tests/bisect/$graph.tn" -o "$1.tn" >out 2>err
        status=$?
        [ $status = 0 ] || return
    done
}
few='transpose_order fuse_results window_neutral mask_short join_offset packed_alike odd_workers'
sed -n 's/^FAULT_ROW(\([a-z_]*\), \([a-z_]*\),.*/\1 \2/p' "$root/runtime/faults.def" | grep -v -e '^name' -e ' import$' >faults
found=0 small=0
while read -r fault stage; do
    [ -n "${TN_LONG:-}" ] || case " $few " in *" $fault "*) ;; *) continue ;; esac
    find_fault "$fault"
    ok "$fault is found at $stage" says 1 "leaves at: $stage (" out
    grep -q "leaves at: $stage (" out && found=$((found + 1))
    nodes=$(sed -n "s/^$fault.tn: \([0-9]*\) nodes* shows* it.*/\1/p" out)
    ok "$fault is shown by few nodes" test "${nodes:-99}" -le 10
    TENON_FAULT=$fault "$faulty" bisect "$fault.tn" >out 2>err
    status=$?
    ok "$fault is found there again" says 1 "leaves at: $stage (" out
    "$TENON" bisect "$fault.tn" >out 2>err
    status=$?
    ok "and is not in the stock build" says 0 "nothing leaves" out
done <faults

# ---- A fault of the import -----------------------------------------------------------------------------

cat >gate.tn <<'EOF'
module "gate"
fn @main(%x: f32[1, 8, 6, 6], %w: f32[8, 8, 1, 1] weight) -> (%y: f32[1, 8, 6, 6], %z: f32[8]) {
  %0 = conv %x, %w : f32[1, 8, 6, 6]
  %1 = relu %0
  %2 = hard_sigmoid %1, alpha=0.17, beta=0.4
  %3 = mul %2, %0
  %4 = softmax %3, axis=1
  %5 = reduce %4, axes=[0, 2, 3], kind=sum
  return %3, %5
}
EOF
"$TENON" export gate.tn -o gate.onnx
cat >differ.sh <<EOF
rm -rf stock faulty
"$TENON" run "\$1" --cache off --output-dir stock >/dev/null 2>&1 || exit 0
TENON_FAULT=import_alpha "$faulty" run "\$1" --cache off --output-dir faulty >/dev/null 2>&1 || exit 0
diff -rq stock faulty >/dev/null || exit 3
EOF
model=gate.onnx
[ -n "${TN_LONG:-}" ] && [ -e "$root/build/models/ch_PP-OCRv4_rec_infer.onnx" ] && model=$root/build/models/ch_PP-OCRv4_rec_infer.onnx
tenon reduce "$model" --command 'sh differ.sh {}' --exit-code 3 -o import.onnx
ok "an importer's fault is reduced to its node" says 0 "import.onnx: 1 node of" out
tenon check import.onnx
ok "which is the one" says 0 "hard_sigmoid" out
echo "1..$n"
