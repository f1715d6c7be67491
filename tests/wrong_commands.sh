#!/bin/sh
# Wrong commands: what a newcomer types by mistake, and the exact line that the program answers with.
#
# in:  $TENON; models and files of inputs are written here
# out: one TAP line a mistake. The exit status is 1 where a file or what is in it is wrong, 2 where the command is; nothing
#      is written to standard output, and nothing but that line (inputs that are random apart) to standard error
# law: a mistake stands in one place: those of tests/cli.sh and tests/train.sh are not here
TENON=$(realpath "${TENON:-build/tenon}")
cd "$(dirname "$0")/.." || exit 1
root=$PWD
. tests/lib/program.sh
work=$(realpath -m "${BUILD:-build}/test-logs/wrong-commands-work")
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1

wrong() { # the line, exit status, arguments...
    line=$1 wanted=$2
    shift 2
    tenon "$@"
    grep -v "is random" err >said
    ok "tenon $*" eval '[ "$status" = "$wanted" ] && [ ! -s out ] && [ "$(cat said)" = "$line" ]'
}
# ---- Files -------------------------------------------------------------------------------------------

cat >mlp.tn <<'END'
module "mlp"
fn @main(%x: f32[n, 4], %bias: f32[3]) -> (%probs: f32[n, 3]) {
  %w = constant value=f32[4, 3] {1, 2, 3, 0.5, -1, 0.25, 3, 1, -2, 0, 1, 2}
  %0 = dot %x, %w, contract=[1]x[0]
  %1 = broadcast %bias, dims=[1], shape=[n, 3]
  %2 = add %0, %1
  %3 = softmax %2, axis=1
  return %3
}
END
cat >step.tn <<'END'
module "step"
fn @main(%x: f32[n]) -> (%y: f32[n]) where n in [4, 64] {
  %0 = neg %x
  return %0
}
END
# A NumPy file of version 1.0: dtype, shape, then bytes of data: its header has 118 bytes.
numpy() { # file, dtype, shape, bytes
    printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '$2', 'fortran_order': False, 'shape': $3, }" >"$1"
    head -c "$4" /dev/zero >>"$1"
}
numpy x.npy '<f4' '(2, 4)' 32
numpy wide.npy '<f4' '(2, 5)' 40
numpy flat.npy '<f4' '(8,)' 32
numpy double.npy '<f8' '(2, 4)' 64
numpy complex.npy '<c8' '(2, 4)' 64
numpy cut.npy '<f4' '(2, 4)' 27
printf '\223NUMPY\001\000\166\000{' >head.npy
cp "$root/docs/examples/page.png" page.png
cp page.png page.onnx
cp mlp.tn text.onnx
cp x.npy array.onnx
"$TENON" export mlp.tn -o mlp.onnx
cp mlp.onnx model.tn
whole=$(wc -c <mlp.onnx) # of which 4 are behind the graph
head -c $((whole / 2)) mlp.onnx >cut.onnx
printf 'PK\003\004%22sarchive/data.pkl' '' >weights.pt
cp weights.pt weights.onnx
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' >pointer.onnx
printf '<!DOCTYPE html>\n<html></html>\n' >page.tn
: >nothing.onnx
: >nothing.tn

# ---- Misspelt commands and options -----------------------------------------------------------------------

wrong "tenon: there is no command chek: did you mean check? (see tenon --help)" 2 chek mlp.tn
wrong "tenon: there is no command optimise (see tenon --help)" 2 optimise mlp.tn
wrong "tenon: mlp.tn is a model, the command comes first: tenon run mlp.tn (see tenon --help)" 2 mlp.tn
wrong "tenon run: --inputs is no option of this command: did you mean --input? (see tenon run --help)" 2 \
    run mlp.tn --inputs x=x.npy
wrong "tenon run: -set is no option of this command: did you mean --set? (see tenon run --help)" 2 run mlp.tn -set n=3
wrong "tenon bench: --epochs is no option of this command, but of train (see tenon bench --help)" 2 bench mlp.tn --epochs 3
wrong "tenon run: -o is no option of this command (see tenon run --help)" 2 run mlp.tn -o out
wrong "tenon check: --json takes no value (see tenon check --help)" 2 check mlp.tn --json=yes
wrong "tenon dump: --after: there is no stage fusee: did you mean fuse? (see tenon dump --help)" 2 \
    dump mlp.tn --after fusee
wrong "tenon run: --input: x is given twice (see tenon run --help)" 2 run mlp.tn --input x=x.npy --input x=x.npy
wrong "tenon run: --input: x= is not NAME=FILE (see tenon run --help)" 2 run mlp.tn --input x=
wrong "tenon run: --set: n=-1: a size is from 0 to 9223372036854775807 (see tenon run --help)" 2 run mlp.tn --set n=-1
wrong "tenon run: --set: n=99999999999999999999: a size is from 0 to 9223372036854775807 (see tenon run --help)" 2 \
    run mlp.tn --set n=99999999999999999999
wrong "tenon bench: --seconds: fast is not a number above 0 (see tenon bench --help)" 2 bench mlp.tn --seconds fast
wrong "tenon compile: -o: a folder, but no name in it (see tenon compile --help)" 2 compile mlp.tn -o .
wrong "mlp.tn: error: size n is given twice" 1 compile mlp.tn -o made --set n=4 --set n=8
wrong "mlp.tn: error: cpu and features go with one target: several targets have their own each" 1 \
    compile mlp.tn -o made --target x86-64-v2,v3 --cpu znver4
wrong "tenon grad: --remat: ful is none of none|cheap|full (see tenon grad --help)" 2 grad mlp.tn --remat ful

# ---- Models that are none ----------------------------------------------------------------------------------

wrong "mlp: error: a model is a .onnx or a .tn file: did you mean mlp.onnx?" 1 run mlp
wrong "mpl: error: No such file or directory; a model is a .onnx or a .tn file" 1 run mpl
wrong "weights.pt: error: a model is a .onnx or a .tn file; this is a PyTorch file: torch.onnx.export writes its model as ONNX" 1 \
    check weights.pt
wrong "weights.onnx: error: not an ONNX model; this is a PyTorch file: torch.onnx.export writes its model as ONNX" 1 \
    check weights.onnx
wrong "page.onnx: error: not an ONNX model; this is a picture (PNG)" 1 check page.onnx
wrong "array.onnx: error: not an ONNX model; this is a NumPy array (.npy)" 1 run array.onnx
wrong "text.onnx: error: not an ONNX model; this is text of Tenon's graphs: such a file's name ends in .tn" 1 check text.onnx
wrong "pointer.onnx: error: not an ONNX model; this is a Git LFS pointer in place of the file: fetch the file itself first (git lfs pull)" 1 \
    compile pointer.onnx -o made
wrong "cut.onnx: error: the file is cut short, or damaged: a field needs $((whole - 4 - whole / 2)) bytes more (byte 9)" 1 \
    bench cut.onnx
wrong "nothing.onnx: error: the file is empty" 1 check nothing.onnx
wrong "model.tn: error: not text of Tenon's graphs; this is an ONNX model: such a file's name ends in .onnx" 1 check model.tn
wrong "page.tn: error: not text of Tenon's graphs; this is a web page or XML" 1 check page.tn

# ---- Mistakes in texts: file, line and column, then that line and a mark ----------------------------------------

mistake() { # place and message, edit of sed
    first="edited.tn:$1"
    sed "$2" mlp.tn >edited.tn
    tenon check edited.tn
    ok "edited by $2" eval '[ "$status" = 1 ] && [ ! -s out ] && [ "$(head -n 1 err)" = "$first" ] && [ "$(wc -l <err)" = 3 ]'
}
mistake "6:8: error: there is no op adt: did you mean add?" s/add/adt/
mistake "7:20: error: no attribute is called along (softmax has axis)" s/axis/along/
mistake "7:8: error: softmax: has no attribute axes (it has axis)" 's/axis=1/axes=[1]/'
mistake "7:8: error: softmax: axis 5 is not within [0, 2)" s/axis=1/axis=5/
mistake "5:18: error: %bais is not defined before this: did you mean bias?" 's/broadcast %bias/broadcast %bais/'
mistake "4:8: error: dot: inner dims differ: x is f32[n, 5], w is f32[4, 3] (5 is not 4)" 's/n, 4/n, 5/'
mistake "3:33: error: the type has 12 elements, 11 are given" 's/, 2}/}/'
mistake "2:14: error: expected a type (f32[n, 4], i64[]), not \`float\`" 's/x: f32/x: float/'
mistake "2:9: error: the function has no end" '/^}/d'
mistake "8:3: error: @main returns 2 values, its head names 1" 's/return %3/return %3, %2/'

# ---- Inputs ----------------------------------------------------------------------------------------------------

input() { # line, file
    wrong "$1" 1 run mlp.tn --input "x=$2"
}
input "mlp.tn: error: mlp: input 'x': expected f32[n, 4], got f32[2, 5] (axis 1: 4 is not 5)" wide.npy
input "mlp.tn: error: mlp: input 'x': expected f32[n, 4], got f32[8] (rank 2 is not 1)" flat.npy
input "mlp.tn: error: mlp: input 'x': expected f32[n, 4], got f64[2, 4] (dtype f32 is not f64)" double.npy
input "mlp.tn: error: mlp: input 'x': expected f32[n, 4], got f32[1, 3, 708, 860] (rank 2 is not 4)" page.png
input "complex.npy: error: its dtype '<c8' is not supported, expected bool, int8 to int64, uint8 to uint64, float16, float32, float64 or bfloat16 (as V2)" complex.npy
input "cut.npy: error: 27 bytes follow its header, expected 32 for 8 of f32" cut.npy
input "head.npy: error: it is cut off in its header" head.npy
input "weights.pt: error: neither .npy nor .pb, and no picture; this is a PyTorch file: torch.onnx.export writes its model as ONNX" weights.pt
input ".: error: Is a directory" .
wrong "mlp.tn: error: --input bais=x.npy: the model has no such input; it has x, bias: did you mean bias?" 1 run mlp.tn --input bais=x.npy
wrong "mlp.tn: error: --set N=3: the model has no such symbol; it has n: did you mean n?" 1 run mlp.tn --set N=3
wrong "mlp.tn: error: --set n=3: an input that is given has n = 2" 1 run mlp.tn --input x=x.npy --set n=3
wrong "step.tn: error: step: n is 3 by axis 0 of input 'x', but at least 4 is needed" 1 run step.tn --set n=3
wrong "step.tn: error: step: n is 65 by axis 0 of input 'x', but at most 64 is allowed" 1 bench step.tn --set n=65
wrong "mlp.tn: error: has no input or weight bais (tenon check lists them): did you mean bias?" 1 grad mlp.tn --wrt bais --loss sum

# ---- Outputs ----------------------------------------------------------------------------------------------------

wrong "mlp.tn: error: --output-dir: it is there already, and no folder" 1 run mlp.tn --output-dir mlp.tn
wrong "tenon export: -o: mlp.pt does not end in .onnx, and ONNX is what is written (see tenon export --help)" 2 export mlp.tn -o mlp.pt
wrong "none/made.o: error: cannot be written: No such file or directory" 1 compile mlp.tn -o none/made
wrong "none/digits.onnx: error: cannot be written: No such file or directory" 1 train digits -o none/digits.onnx
wrong "mlp.tn: error: there is no function @mian: did you mean main?" 1 compile mlp.tn -o made --function mian
wrong "mlp.tn: error: feature \"avx2\" needs a + or - before it" 1 run mlp.tn --features avx2
wrong "x.npy: error: not a safetensors file; this is a NumPy array (.npy)" 1 compile step.tn -o made --states x.npy
printf 'int main(void) { return 0; }\n' >mine.c
tenon compile mlp.tn -o mine --emit exe
ok "a file of the user's is not written over" eval '[ "$status" = 1 ] && grep -q main mine.c && [ "$(cat err)" = "mine.c: error: is there already, and Tenon did not make it: -o with another name" ]'
echo "# $n wrong commands"
echo "1..$n"
