#!/bin/sh
# The program `tenon` as scripts use it: commands, options, exit statuses, messages, files.
#
# in:  $TENON; models are written here, files of inputs are the program's own outputs
# out: one TAP line a check; what it saw when it was not what was wanted
TENON=$(realpath "${TENON:-build/tenon}")
cd "$(dirname "$0")/.." || exit 1
root=$PWD
. tests/lib/program.sh
CC=${CC:-gcc}
work=$(realpath -m "${BUILD:-build}/test-logs/cli-work")
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1
same() { is 0 && for npy in "$1"/*.npy; do cmp -s "$npy" "$2/$(basename "$npy")" || return 1; done; }

# ---- Models --------------------------------------------------------------------------------------

cat >mlp.tn <<'END'
module "mlp"
fn @main(%x: f32[n, 4], %"odd/name b": f32[3]) -> (%probs: f32[n, 3], %"h/1": f32[n, 3]) {
  %w = constant value=f32[4, 3] {1, 2, 3, 0.5, -1, 0.25, 3, 1, -2, 0, 1, 2}
  %0 = dot %x, %w, contract=[1]x[0]
  %1 = broadcast %"odd/name b", dims=[1], shape=[n, 3]
  %2 = add %0, %1
  %3 = softmax %2, axis=1
  return %3, %2
}
END
cat >step.tn <<'END'
module "step"
fn @main(%x: f32[n] state, %by: f32[]) -> (%next: f32[n] updates %x, %sum: f32[]) where n in [4, 64], n % 3 == 0 {
  %0 = broadcast %by, dims=[], shape=[n]
  %1 = add %x, %0
  %2 = reduce %1, axes=[0], kind=sum
  return %1, %2
}
END
cat >weights.tn <<'END'
module "weights"
fn @main(%x: f32[n, 4], %w: f32[4, 2] weight) -> (%y: f32[n, 2]) {
  %0 = dot %x, %w, contract=[1]x[0]
  return %0
}
END
cat >bias.tn <<'END'
module "bias"
fn @main(%row: f32[1, 2]) -> (%b: f32[3]) {
  %0 = reduce %row, axes=[0, 1], kind=max
  %1 = broadcast %0, dims=[], shape=[3]
  return %1
}
END
cat >same.tn <<'END'
module "same"
fn @main(%x: f32[n, c, h, w]) -> (%y: f32[n, c, h, w]) {
  %0 = neg %x
  %1 = neg %0
  return %1
}
END
cat >clash.tn <<'END'
module "clash"
fn @main(%x: f32[]) -> (%"a/b": f32[], %"a b": f32[]) {
  %0 = neg %x
  return %0, %x
}
END
cat >wrong.tn <<'END'
module "wrong"
fn @main(%x: f32[n, 784], %w: f32[512, 10]) -> (%r: f32[n, 10]) {
  %0 = dot %x, %w, contract=[1]x[0]
  return %0
}
END
cat >even.tn <<'END'
module "even"
fn @main(%x: f32[n], %y: f32[m]) -> (%r: f32[n]) {
  %0 = add %x, %y
  return %0
}
END
# One node of an op that there is not: ModelProto { ir_version: 8 graph { node { x -> y, "Frob" "f0" } ... } opset 13 }
printf '\010\010\072\057\012\020\012\001x\022\001y\032\002f0\042\004Frob\022\001g\132\013\012\001x\022\006\012\004\010\001\022\000\142\013\012\001y\022\006\012\004\010\001\022\000\102\002\020\015' >frob.onnx

# ---- Help and usage --------------------------------------------------------------------------------

tenon --version
ok "--version" grep -qE '^Tenon [0-9]+\.[0-9]+\.[0-9]+, LLVM [0-9]+\.[0-9]+\.[0-9]+, .+$' out
tenon --help
ok "--help lists the commands" says 0 "  bench " out
for command in $(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' out); do
    tenon $command --help
    ok "$command --help has examples" says 0 "Examples:" out
done

usage() { # message, arguments...
    want=$1
    shift
    tenon "$@"
    ok "usage: tenon $*" eval '[ "$status" = 2 ] && [ ! -s out ] && [ "$(cat err)" = "$want" ]'
}
usage "tenon: no command given (see tenon --help)"
usage "tenon: there is no command frob (see tenon --help)" frob
usage "tenon run: MODEL is missing (see tenon run --help)" run
usage "tenon run: b.tn is one operand too many (see tenon run --help)" run a.tn b.tn
usage "tenon run: --frob is no option of this command (see tenon run --help)" run --frob a.tn
usage "tenon check: --lr is no option of this command, but of train (see tenon check --help)" check a.tn --lr
usage "tenon run: --input needs a value (see tenon run --help)" run a.tn --input
usage "tenon run: --input: x is not NAME=FILE (see tenon run --help)" run mlp.tn --input x
usage "tenon run: --set: n is not SYMBOL=INT (see tenon run --help)" run mlp.tn --set n
usage "tenon run: --set: n=two is not SYMBOL=INT (see tenon run --help)" run mlp.tn --set n=two
usage "tenon run: --threads: -1 is not a number from 0 on (see tenon run --help)" run mlp.tn --threads -1
usage "tenon run: --threads: at most 1024 (see tenon run --help)" run mlp.tn --threads 5000
usage "tenon run: --seed: 1.5 is not a number from 0 on (see tenon run --help)" run mlp.tn --seed 1.5
usage "tenon bench: --seconds: 0 is not a number above 0 (see tenon bench --help)" bench mlp.tn --seconds 0
usage "tenon explain: --sort: name is none of order|time|flops|bytes (see tenon explain --help)" explain mlp.tn --sort name
usage "tenon explain: MODEL is missing (see tenon explain --help)" explain --json
usage "tenon explain: --threads: at most 1024 (see tenon explain --help)" explain mlp.tn --threads 5000
usage "tenon run: --gemm: mkl is none of own|blas (see tenon run --help)" run mlp.tn --gemm mkl
usage "tenon run: --weight-type: int4 is none of f32|bf16|int8 (see tenon run --help)" run mlp.tn --weight-type int4
usage "tenon run: --winograd: 3 is none of on|off (see tenon run --help)" run mlp.tn --winograd 3
usage "tenon run: --image-layout: hwc is none of nchw|nhwc (see tenon run --help)" run mlp.tn --image-layout hwc
usage "tenon run: --image-size: 3 is not WxH (see tenon run --help)" run same.tn --input x=a.png --image-size 3
usage "tenon run: --eval and --check exclude each other (see tenon run --help)" run mlp.tn --eval --check
usage "tenon dump: --after: there is no stage frob (see tenon dump --help)" dump mlp.tn --after frob
usage "tenon dump: --after: there is no stage loop: did you mean loops? (see tenon dump --help)" dump mlp.tn --after loop
usage "tenon dump: --after all needs a folder: -o DIR (see tenon dump --help)" dump mlp.tn --after all
usage "tenon export: where to write is missing: -o FILE.onnx (see tenon export --help)" export mlp.tn
usage "tenon export: --opset: it must be 18 to 23 (see tenon export --help)" export mlp.tn -o mlp.onnx --opset 9
usage "tenon bisect: -o: small.onnx is no .tn file (see tenon bisect --help)" bisect mlp.tn -o small.onnx
usage "tenon reduce: the command that fails is missing: --command 'CMD {}' (see tenon reduce --help)" reduce mlp.tn -o a.tn
usage "tenon reduce: where to write is missing: -o FILE.tn or -o FILE.onnx (see tenon reduce --help)" reduce mlp.tn --command 'false {}'
usage "tenon reduce: --command: it has no {}, which stands for the file to try (see tenon reduce --help)" reduce mlp.tn --command false -o a.tn
usage "tenon reduce: -o: a.txt is neither a .tn nor a .onnx file (see tenon reduce --help)" reduce mlp.tn --command 'false {}' -o a.txt
usage "tenon reduce: --match and --exit-code exclude each other (see tenon reduce --help)" reduce mlp.tn --command 'false {}' -o a.tn --match a --exit-code 2
usage "tenon export: --after: there is no stage fused: did you mean fuse? (see tenon export --help)" export mlp.tn -o m.onnx --after fused
usage "tenon export: --after: loops is more than a graph; fuse is the last stage that is one (see tenon export --help)" export mlp.tn -o m.onnx --after loops
usage "tenon debug: --after: there is no stage fus: did you mean fuse? (see tenon debug --help)" debug mlp.tn --after fus
usage "tenon debug: --input: x is not NAME=FILE (see tenon debug --help)" debug mlp.tn --input x
usage "tenon doc: there is no reference called frob, but ops and passes (see tenon doc --help)" doc frob
usage "tenon draw: -o: mlp.jpg is no .dot, .svg, .png or .pdf (see tenon draw --help)" draw mlp.tn -o mlp.jpg
usage "tenon draw: --after: llvm is more than a graph; fuse is the last stage that is one (see tenon draw --help)" draw mlp.tn --after llvm

# ---- Wrong input ---------------------------------------------------------------------------------------

wrong() { # the line on stderr, arguments...
    want=$1
    shift
    tenon "$@"
    ok "wrong: tenon $*" eval '[ "$status" = 1 ] && [ ! -s out ] && [ "$(grep -v "is random" err | head -n 1)" = "$want" ]'
}
printf 'module "cut"\nfn @main(%%x: f32[n' >cut.tn
printf 'not a model' >bad.onnx
printf 'not numbers' >bad.npy
tenon run mlp.tn --set n=2 --output-dir two
wrong "none.tn: error: No such file or directory" run none.tn
wrong "none.onnx: error: No such file or directory" check none.onnx
wrong "two: error: a model is a .onnx or a .tn file, not a folder" run two
wrong "cut.tn:2:9: error: the function has no end" run cut.tn
wrong "wrong.tn:3:8: error: dot: inner dims differ: x is f32[n, 784], w is f32[512, 10] (784 is not 512)" check wrong.tn
wrong "mlp.tn: error: --set k=3: the model has no such symbol; it has n" run mlp.tn --set k=3
wrong "mlp.tn: error: --input q=a.npy: the model has no such input; it has x, odd/name b" run mlp.tn --input q=a.npy
wrong "none.npy: error: No such file or directory" run mlp.tn --input x=none.npy
wrong "none.pb: error: No such file or directory" run mlp.tn --input x=none.pb
wrong "bad.npy: error: $("$TENON" run mlp.tn --input x=bad.npy 2>&1 | sed -n 's/^bad.npy: error: //p')" run mlp.tn --input x=bad.npy
wrong "mlp.tn: error: neither .npy nor .pb, and no picture; this is text of Tenon's graphs: such a file's name ends in .tn" run same.tn --input x=mlp.tn
wrong "mlp.tn: error: mlp: input 'x': expected f32[n, 4], got f32[2, 3] (axis 1: 4 is not 3)" run mlp.tn --input x=two/probs.npy
wrong "even.tn: error: even: even.tn:3: add: n = m (n = 2, m = 3)" run even.tn --set n=2 --set m=3
wrong "step.tn: error: step: n is 7 by axis 0 of input 'x', which 3 does not divide" run step.tn --set n=7
wrong "clash/a_b.npy: error: both output a/b and output a b would be written here" run clash.tn --output-dir clash
wrong "none/out: error: the folder cannot be made: No such file or directory" run mlp.tn --output-dir none/out
wrong "mlp.tn: error: debug_info: none/out/mlp.loops.tn cannot be written: No such file or directory" run mlp.tn --debug-info none/out
wrong "none/x.tn: error: cannot be written: No such file or directory" dump mlp.tn -o none/x.tn
wrong "none/x.onnx: error: cannot be written: No such file or directory" export mlp.tn -o none/x.onnx
other=$([ "$(uname -m)" = aarch64 ] && echo x86-64-v3 || echo aarch64)
wrong "mlp.tn: error: code for $other cannot run on this machine" run mlp.tn --target "$other"
tenon check frob.onnx
ok "check names the ops that are missing, and their nodes" eval '[ $status = 1 ] && grep "^frob.onnx: error: .*Frob" err | grep -q f0'
tenon check bad.onnx
ok "check refuses what is no ONNX" says 1 "bad.onnx: error: " err
"$TENON" doc ops >/dev/full 2>err
status=$?
ok "a full disk is told" eval '[ $status = 1 ] && grep -q "error: " err'

# ---- bisect ------------------------------------------------------------------------------------------------

tenon bisect mlp.tn --set n=2
ok "bisect says what it compared" says 0 "nothing leaves: compared 2 outputs of the compiled program" out

# ---- reduce ------------------------------------------------------------------------------------------------

wrong "mlp.tn: error: the command does not fail on the model itself: it ended with status 0" reduce mlp.tn --command 'test -s {}' -o a.tn
wrong "mlp.tn: error: the command does not fail on the model itself: what it prints has no 'frob' in it" reduce mlp.tn --command 'cat {}' --match frob -o a.tn
wrong "mlp.tn: error: the command took more than 0.2 s, there is nothing to reduce: see --timeout" reduce mlp.tn --command 'sleep 9; : {}' --timeout 0.2 -o a.tn
wrong "none/a.tn: error: cannot be written: No such file or directory" reduce mlp.tn --command 'false {}' -o none/a.tn
tenon reduce mlp.tn --command 'grep -q broadcast {}' --exit-code 0 -o a.tn
ok "reduce leaves what the command needs" says 0 "a.tn: 1 node of 5, 2 inputs and outputs of 4" out
ok "and a model that verifies" eval '"$TENON" check a.tn >out 2>err && grep -q "^# fails: grep -q broadcast {}" a.tn'
tenon reduce mlp.tn --command 'cat {}' --match 'softmax' -o "it's.tn"
ok "reduce takes text for failing, and any file name" eval "is 0 && grep -q softmax \"it's.tn\""
tenon reduce mlp.tn --command 'kill -SEGV $$; : {}' -o a.tn
ok "a signal is failing" says 0 "a.tn: " out
tenon reduce mlp.tn --command "'$TENON' check {} >/dev/null" --exit-code 0 -o a.onnx
ok "reduce writes ONNX" eval 'is 0 && "$TENON" check a.onnx >out 2>err'
"$TENON" export mlp.tn -o whole.onnx
tenon reduce whole.onnx --command "'$TENON' dump {} | grep -q softmax" --exit-code 0 --set n=3 -o b.onnx
ok "reduce works on ONNX files as they are" says 0 "b.onnx: 1 node of 3, 2 inputs and outputs of 4" out
ok "and takes sizes" eval '"$TENON" check b.onnx >out 2>err && grep -qF "f32[3, 3]" out'
ok "reduce leaves no other files" eval '[ ! -e a.tn.bin ] && [ ! -e a.onnx.data ]'

# ---- run ---------------------------------------------------------------------------------------------------

tenon run mlp.tn --set n=2
ok "run says what is random" says 0 "tenon: input 'x' is random: f32[2, 4], seed 0" err
ok "run summarises each output" grep -qE '^probs: f32\[2, 3\] min [-0-9.e]+ mean [-0-9.e]+ max [-0-9.e]+ first( [-0-9.e]+){6}$' out
tenon run mlp.tn
ok "symbols are 1 by default" says 0 "input 'x' is random: f32[1, 4]" err
tenon run step.tn
ok "or the least that is stated" says 0 "input 'x' is random: f32[6]" err

tenon run mlp.tn --set n=2 --output-dir again
ok "the same seed gives the same bits" same two again
tenon run mlp.tn --set n=2 --seed 1 --output-dir other
ok "another seed gives others" eval 'is 0 && ! cmp -s two/probs.npy other/probs.npy'
ok "names of files are safe" test -s two/h_1.npy
tenon run mlp.tn --set n=2 --threads 1 --output-dir again
ok "threads don't change bits" same two again
tenon run mlp.tn --set n=2 --no-fusion --check
ok "--no-fusion" is 0
cat >logs.tn <<'END'
module "logs"
fn @main(%x: f32[n, 3]) -> (%y: f32[n, 3]) {
  %0 = log %x : f32[n, 3]
  %1 = exp %0 : f32[n, 3]
  return %1
}
END
tenon run logs.tn --set n=4 --nan-check
ok "--nan-check" says 1 "logs.tn: error: logs: log at logs.tn:3: the first NaN is at element [0, 0] of f32[n, 3], in kernel k0" err
tenon dump logs.tn --nan-check --after loops -o logs-loops.tn
ok "checks are in the loop trees" eval 'is 0 && grep -q " sites(log nan) {" logs-loops.tn && grep -q "^ *check %[0-9]* element [^ ]* site 0$" logs-loops.tn'
tenon run logs-loops.tn --set n=4 --nan-check
ok "which run" says 1 "logs: log at logs.tn:3: the first NaN is at element [0, 0] of f32[n, 3], in kernel k0" err
tenon compile logs.tn -o logs --nan-check
ok "objects look for it as well" eval 'is 0 && grep -q "LOGS_ERR_NAN = 6," logs.h && grep -qa "logs.tn:3: log: a NaN in its result, f32\[n, 3\]" logs.o'
tenon run logs.tn --set n=4 --nan-check --eval
ok "by the interpreter" says 1 "logs.tn: error: logs: log at logs.tn:3: the first NaN is at element [0, 0] of f32[4, 3]" err
tenon run mlp.tn --set n=2 --watch h/1,op:softmax
ok "--watch" eval 'is 0 && grep -q "^%2 = add : f32\[2, 3\]  # mlp.tn:6$" out && grep -q "^%3 = softmax : " out && [ "$(grep -c "^  first" out)" = 2 ]'
cp out compiled
tenon run mlp.tn --set n=2 --watch h/1,op:softmax --eval
ok "the interpreter shows the same" eval 'is 0 && [ "$(grep -c "^  first" out)" = 2 ] && grep -q "^%2 = add : f32\[2, 3\]  # mlp.tn:6$" out'
tenon run mlp.tn --watch h/2
ok "a value that is not there" says 1 "mlp.tn: error: --watch h/2: the model has no such value: did you mean h/1?" err
tenon run mlp.tn --watch op:sotfmax
ok "an op that is not there" says 1 "mlp.tn: error: --watch op:sotfmax: the model has no such op: did you mean softmax?" err
tenon run mlp.tn --watch ,
ok "no value at all" says 1 "mlp.tn: error: --watch: no value is named" err
tenon run mlp.tn --set n=2 --stats --json
ok "--stats --json" eval 'is 0 && grep -q "\"stats\": \\[" out && grep -q "\"std\": 0\\.[0-9]" out && [ "$(grep -c "\"op\":" out)" = 5 ]'
tenon run mlp.tn --set n=2 --stats
ok "--stats" eval 'is 0 && [ "$(grep -c "mlp.tn:" out)" = 5 ] && grep -q "^value  *op  *type  *min" out'
cat >rounds.tn <<'END'
module "rounds"
fn @more(%i: i32[], %x: f32[3]) -> (%b: bool[]) {
  %0 = constant value=i32[] {3} : i32[]
  %1 = compare %i, %0, compare=lt : bool[]
  return %1
}
fn @round(%i: i32[], %x: f32[3]) -> (%j: i32[], %y: f32[3]) {
  %0 = constant value=i32[] {1} : i32[]
  %next = add %i, %0 : i32[]
  %twice = add %x, %x : f32[3]
  return %next, %twice
}
fn @main(%x: f32[3]) -> (%y: f32[3]) {
  %0 = constant value=i32[] {0} : i32[]
  %1, %2 = while %0, %x, cond=@more, body=@round : i32[], f32[3]
  return %2
}
END
tenon run rounds.tn --watch twice
ok "a value of a body" says 1 "rounds.tn: error: --watch twice: that is in function @round, whose values only --eval shows" err
tenon run rounds.tn --watch twice --eval
ok "each time it is computed" eval 'is 0 && [ "$(grep -c "^@round %twice = add : f32\[3\]" out)" = 3 ]'
tenon run mlp.tn --set n=2 --nan-check --output-dir again
ok "it changes no bit" same two again
cat >conv.tn <<'END'
module "conv"
fn @main(%x: f32[1, 64, 14, 14], %k: f32[32, 64, 3, 3] weight) -> (%y: f32[1, 32, 14, 14]) {
  %0 = conv %x, %k, low=[1, 1], high=[1, 1] : f32[1, 32, 14, 14]
  return %0
}
END
tenon dump conv.tn --after winograd
ok "Winograd's algorithm is taken" says 0 "= winograd" out
tenon dump conv.tn --after winograd --winograd off
ok "--winograd off" says 0 "= conv" out
tenon run conv.tn --check
ok "Winograd's algorithm agrees with conv" is 0

cat >dense.tn <<'END'
module "dense"
fn @main(%x: f32[1, 64], %w: f32[64, 80] weight) -> (%y: f32[1, 80]) {
  %0 = dot %x, %w, contract=[1]x[0] : f32[1, 80]
  return %0
}
END
tenon dump dense.tn --after hoist --weight-type bf16
ok "--weight-type bf16" eval 'is 0 && grep -q "%packed.*: bf16.* weight" out'
tenon dump dense.tn --after quantise --weight-type int8 -o quantised.tn
ok "--weight-type int8" says 0 "dtype=i8 : i8[64, 80]" quantised.tn
tenon run quantised.tn --check
ok "what quantise makes is what runs" is 0

tenon run mlp.tn --set n=5 --check
ok "--check tells the largest difference" eval 'is 0 && grep -qE "^h/1: largest difference [-0-9.e]+, [-0-9.e]+ of the sum of absolute terms$" out'
tenon run mlp.tn --set n=2 --eval --output-dir eval
ok "--eval" is 0
tenon run weights.tn --check
ok "a weight without values gets random ones" says 0 "input 'w' is random: f32[4, 2]" err
tenon run step.tn --set n=12 --check
ok "--check of a state" is 0
tenon run step.tn --set n=12 --output-dir state
tenon run step.tn --input x=state/next.npy --output-dir state2
ok "sizes are from given inputs" eval 'is 0 && [ -s state2/next.npy ] && ! grep -q "input .x. is random" err'
tenon run weights.tn --output-dir row # two numbers
tenon run bias.tn --input row=row/y.npy --output-dir row
tenon run mlp.tn --input "odd/name b=row/b.npy" --set n=1
ok "an input with an odd name" eval 'is 0 && ! grep -q "odd/name" err'

keys() { for key; do grep -q "\"$key\": " out || return 1; done; }
tenon run mlp.tn --json
ok "run --json" eval 'is 0 && keys outputs name dtype shape compile_ms run_ms arena_bytes kernels && [ "$(head -c 1 out)" = "{" ]'
tenon run mlp.tn --json --check
ok "run --json --check" eval 'is 0 && keys check largest_difference scaled_difference within_tolerance && ! grep -q "largest difference" out'
if command -v python3 >/dev/null; then
    ok "is JSON" python3 -c 'import json; d = json.load(open("out")); assert d["outputs"][1]["shape"] == [1, 3] and d["check"][0]["within_tolerance"]'
fi

tenon run same.tn --input "x=$root/docs/examples/page.png" --image-size 20x10 --image-mean 127.5 --image-scale 0.0078125
ok "a picture" eval 'is 0 && grep -q "^y: f32\[1, 3, 10, 20\] min -0\.[0-9]* mean 0\." out'
tenon run same.tn --input "x=$root/docs/examples/page.png" --image-size 20x10 --image-layout nhwc
ok "a picture with channels last" says 0 "y: f32[1, 10, 20, 3]" out
node=/usr/share/libonnx-testdata/data/node/test_add
if [ -e "$node/model.onnx" ]; then
    tenon run "$node/model.onnx" --input "x=$node/test_data_set_0/input_0.pb" --input "y=$node/test_data_set_0/input_1.pb" --check
    ok "ONNX with inputs from .pb" says 0 "sum: f32[3, 4, 5]" out
else
    ok "ONNX with inputs from .pb # SKIP libonnx-testdata is not there" true
fi

# ---- dump --------------------------------------------------------------------------------------------------

tenon dump mlp.tn
ok "dump writes to stdout" says 0 'module "mlp"' out
tenon dump mlp.tn --after all -o stages
ok "dump --after all" is 0
first=$(ls stages | head -n 1)
ok "files are numbered by stage" eval '[ "$first" = 00-import.tn ] && ls stages | grep -q "^[0-9][0-9]-llvm.ll$" && ls stages | grep -q "^[0-9][0-9]-asm.s$"'
for file in stages/*.tn; do
    tenon run "$file" --set n=2 --output-dir again
    ok "$file is taken for the model" same two again
    tenon run "$file" --set n=2 --eval --output-dir again
    ok "$file is interpreted" same eval again
done
ok "the plan is a stage" grep -q "^  # arena: " stages/*-plan.tn
ok "functions of LLVM's code tell their kernel" grep -q "^; k0: dot" stages/*-llvm.ll
ok "those of assembly too" grep -q "^#   from mlp.tn:4, mlp.tn:6" stages/*-asm.s
tenon dump mlp.tn --diff
ok "dump --diff tells what each pass changed" says 0 "== expand: 5 -> 14 nodes: +3 broadcast" out
ok "and what is in the kernels" grep -q '^+  .* = @k0(.*) : f32\[n, 3\] = dot + add  # mlp.tn:4, mlp.tn:6' out
tenon dump mlp.tn --after simplify --diff
ok "of one stage" eval 'is 0 && [ "$(grep -c "^==" out)" = 1 ] && grep -q "^== simplify: " out'
tenon dump mlp.tn --diff -o diffs
ok "one file a stage in a folder" eval 'is 0 && grep -q "^== fuse: " diffs/*-fuse.diff && [ -e diffs/00-import.diff ]'
tenon export mlp.tn --after fuse -o fused.onnx
ok "a stage is exported" is 0
tenon run fused.onnx --set n=2 --output-dir again
ok "and computes the same" same two again
ok "kernels are its functions" eval 'grep -aq "k0_dot_add" fused.onnx && grep -aq "tenon.kernel" fused.onnx'
tenon draw mlp.tn
ok "draw writes for Graphviz" eval 'says 0 "label=\"softmax\naxis=1\nf32[n, 3]\"" out && grep -qF "%3 = softmax %2, axis=1 : f32[n, 3]  # mlp.tn:7" out && grep -q "^  n[0-9]* -> n[0-9]* .tooltip=\"%2: f32.n, 3.\"" out'
ok "weights stand where they are read" grep -qF 'dot\ncontract=[1]x[0]\nwith w f32[4, 3]' out
tenon draw mlp.tn --after fuse -o fused.dot
ok "kernels are clusters" eval 'is 0 && grep -q "label=\"k0\"" fused.dot && grep -q "label=\"exp" fused.dot'
if command -v dot >/dev/null; then
    tenon draw mlp.tn -o mlp.svg
    ok "a picture, by dot" eval 'is 0 && grep -q "<svg" mlp.svg && grep -q "softmax" mlp.svg'
    ok "dot understands all of it" eval '[ ! -s err ]'
    tenon draw mlp.tn -o none/mlp.svg
    ok "a picture that cannot be written" says 1 "none/mlp.svg: error: dot could not draw it" err
else
    ok "pictures # SKIP dot is not there" true
fi
PATH=$work "$TENON" draw mlp.tn -o mlp.png >out 2>err
status=$?
ok "a picture needs Graphviz" says 1 "mlp.png: error: a picture needs the program dot of Graphviz, which is not installed" err
for command in check bench dump; do
    tenon $command stages/*-loops.tn
    ok "$command takes a dump" is 0
done

# ---- grad --------------------------------------------------------------------------------------------------

tenon grad mlp.tn --wrt x --loss sum -o grad.tn
ok "grad writes a module" is 0
tenon run grad.tn --set n=2 --check
ok "it gives loss and gradients" eval 'is 0 && grep -q "^loss: " out && grep -q "^d_x: " out'
tenon grad mlp.tn --wrt "x,odd/name b" --loss sparse_cross_entropy --remat full
ok "names, a loss with a target, to stdout" eval 'is 0 && grep -q "%target: i64\[n\]" out && grep -q "%\"d_odd/name b\"" out'
tenon grad mlp.tn --wrt inputs --loss mse
ok "all inputs" eval 'is 0 && grep -q "%target: f32\[n, 3\]" out'
wrong "mlp.tn: error: has no weight that is a float: --wrt NAME,... names what gradients are of" grad mlp.tn --loss sum
wrong "mlp.tn: error: has no input or weight w (tenon check lists them)" grad mlp.tn --wrt x,w --loss sum
wrong "mlp.tn: error: --wrt names x twice" grad mlp.tn --wrt x,x --loss sum
tenon grad mlp.tn --wrt x
ok "a loss is a scalar" says 1 "mlp.tn: error: value_and_grad: the first result of @main must be a float scalar, that of a loss: " err
ok "how to get one is said" says 1 "tenon grad: --loss NAME puts a loss behind the model's output (tenon grad --help)" err
tenon grad mlp.tn --wrt x --loss frob
ok "losses are known by name" says 1 "mlp.tn: error: frob: there is no loss of that name (sparse_cross_entropy, " err

arena() { "$TENON" run "$1" --set n=500 --threads 1 --json 2>/dev/null | sed -n 's/.*"arena_bytes": \([0-9]*\).*/\1/p'; }
peak() { sed -n "s/^remat $1 *\([0-9]*\) bytes at n = 500$2\$/\1/p" peaks; }
cat >deep.tn <<'END'
module "deep"
fn @main(%x: f32[n, 64], %w: f32[64, 64]) -> (%y: f32[n, 64]) {
  %0 = dot %x, %w, contract=[1]x[0]
  %1 = gelu %0
  %2 = dot %1, %w, contract=[1]x[0]
  %3 = gelu %2
  %4 = dot %3, %w, contract=[1]x[0]
  %5 = gelu %4
  %6 = dot %5, %w, contract=[1]x[0]
  %7 = gelu %6
  %8 = dot %7, %w, contract=[1]x[0]
  %9 = gelu %8
  %10 = softmax %9, axis=1
  %11 = dot %10, %w, contract=[1]x[0]
  return %11
}
END
tenon grad deep.tn --wrt w --loss mse --remat full --peaks --set n=500 -o grad.tn
cp out peaks
ok "--peaks says what each choice of --remat needs" eval 'is 0 && [ "$(wc -l <peaks)" = 3 ] && [ "$(peak cheap)" -gt "$(peak full ", written")" ]'
ok "the one that is written is marked, and its program needs that" [ "$(peak full ", written")" = "$(arena grad.tn)" ]
tenon grad deep.tn --wrt w --loss mse --remat none -o grad.tn
ok "the others need what is said" [ "$(peak none)" = "$(arena grad.tn)" ]
tenon grad deep.tn --wrt w --loss mean --peaks
ok "with the module on stdout they go to stderr" eval 'is 0 && grep -q "^remat cheap .* bytes at n = 1, written" err && ! grep -q "^remat [a-z]* *[0-9]" out'
tenon grad even.tn --wrt x --loss sum --peaks --set n=2 --set m=1 -o grad.tn
ok "sizes that are not allowed" says 0 "remat none   unknown for these sizes (see --set): add: n = m" out
wrong "deep.tn: error: --set k=2: the model has no such symbol; it has n" grad deep.tn --wrt w --loss sum --peaks --set k=2 -o grad.tn
usage "tenon grad: --set is for the sizes that --peaks measures with (see tenon grad --help)" grad deep.tn --wrt w --set n=2

# ---- export ------------------------------------------------------------------------------------------------

tenon export mlp.tn -o mlp.onnx
ok "export writes a model" is 0
tenon run mlp.onnx --set n=2 --eval --output-dir again
ok "an exported model has the names and results that it had" same eval again
ok "nothing else is left beside it" eval '[ ! -e mlp.onnx.part ] && [ ! -e mlp.onnx.data ]'
cat >assert.tn <<'END'
module "assert"
fn @main(%x: f32[], %is_fine: bool[]) -> (%y: f32[]) {
  %0 = token
  %1 = assert %0, %is_fine, message="not fine"
  %2 = neg %x
  return %2
}
END
wrong "assert.tn:4: error: assert: ONNX cannot say it: a model cannot fail by itself (drop_effects, or --drop-effects, leaves checks out)" export assert.tn -o assert.onnx
tenon export assert.tn -o assert.onnx --drop-effects
ok "--drop-effects leaves it out" is 0

# ---- Stages with weights -----------------------------------------------------------------------------------

# Work on weights stands in `prepare`; what a user gives is its raw weights, at every stage.
cat >hoisted.tn <<'END'
module "hoisted"
fn @main(%x: f32[n, 8], %w: f32[8, 64] weight, %v: f32[64] weight) -> (%y: f32[n, 64]) {
  %0 = exp %w
  %1 = dot %x, %0, contract=[1]x[0]
  %2 = exp %v
  %3 = mul %2, %v
  %4 = broadcast %3, dims=[1], shape=[n, 64]
  %5 = broadcast %v, dims=[1], shape=[n, 64]
  %6 = add %1, %4
  %7 = mul %6, %5
  return %7
}
END
tenon dump hoisted.tn --after all -o hoisted
tenon run hoisted.tn --set n=3 --output-dir packed
for file in hoisted/*.tn; do
    tenon run "$file" --set n=3 --output-dir again
    ok "$file has the same weights" same packed again
    tenon run "$file" --set n=3 --check
    ok "$file agrees with the interpreter" is 0
done
ok "one has prepare" grep -q "^fn @prepare" hoisted/*-fuse.tn
tenon run hoisted/*-fuse.tn --input packed=q
ok "packed weights are not the user's" says 1 "the model has no such input; it has x, w, v" err
# 100 numbers stand in a file beside the dump.
{
    printf 'module "data"\nfn @main(%%x: f32[100]) -> (%%y: f32[100]) {\n  %%c = constant value=f32[100] {0'
    for i in $(seq 99); do printf ', %s' "$i"; done
    printf '}\n  %%0 = mul %%x, %%c\n  return %%0\n}\n'
} >data.tn
tenon run data.tn --output-dir data1
mkdir -p dumped && tenon dump data.tn --after fuse -o dumped/data.tn
ok "large constants go beside the dump" test -s dumped/data.tn.bin
tenon run dumped/data.tn --output-dir data2
ok "and are read from there" same data1 data2

tenon dump even.tn --after loops -o loops.tn
sed '/^loops/,$s/= add /= sub /' loops.tn >edited.tn
tenon run edited.tn
ok "an edited loop tree is refused" says 1 "not what the function is lowered to" err
tenon run edited.tn --trust-loops --eval
ok "the interpreter runs the graph" is 0
tenon run edited.tn --trust-loops --check
ok "--check: exit status 1 past tolerance" eval '[ $status = 1 ] && grep -q "^r: .*TOO LARGE$" out && grep -q "^edited.tn: error: output r " err'
sed '/^loops/,$s/= load /= laod /' loops.tn >bad-loops.tn
line=$(grep -n -m1 laod bad-loops.tn | cut -d: -f1)
tenon run bad-loops.tn
ok "mistakes in loop trees have a place" says 1 "bad-loops.tn:$line:" err

# ---- run --expect ----------------------------------------------------------------------------------------------

tenon run mlp.tn --set n=2 --output-dir expected
tenon run mlp.tn --set n=2 --expect h/1=expected/h_1.npy
ok "--expect: the same" says 0 "h/1: largest difference 0, 0 of the largest element" out
tenon run mlp.tn --set n=2 --seed 1 --expect h/1=expected/h_1.npy
ok "--expect: another" eval '[ $status = 1 ] && grep -q "^h/1: .*TOO LARGE$" out &&
    grep -qE "^mlp.tn: error: output h/1 differs from expected/h_1.npy by more than the tolerance: element \[[0-9, ]+\] is [-0-9.e]+, not" err'
tenon run mlp.tn --set n=2 --seed 1 --expect h/1=expected/h_1.npy --tolerance 100
ok "--tolerance" is 0
tenon run mlp.tn --set n=3 --expect h/1=expected/h_1.npy
ok "--expect: another shape" says 1 "mlp.tn: error: output h/1 is f32[3, 3], in expected/h_1.npy it is f32[2, 3]" err
tenon run mlp.tn --expect g=expected/h_1.npy
ok "--expect: no such output" says 1 "mlp.tn: error: --expect g=expected/h_1.npy: the model has no such output; it has" err

cat >kernel.tn <<'END'
module "kernel"
kernel fn @main(%x: f32[n]) -> (%y: f32[n]) {
  %y = call %x, callee=@twice, symbols=[n]
  return %y
}
fn @twice(%x: f32[n]) -> (%y: f32[n]) {
  %y = add %x, %x
  return %y
}
END
wrong "kernel.tn:3:8: error: call: @main is a kernel, which calls nothing: leave the word kernel out" check kernel.tn

cat >pooled.tn <<'END'
module "pooled"
fn @main(%x: f32[n, m]) -> (%r: f32[n, floordiv(m, 8), 8]) {
  %r = reshape %x, shape=[n, floordiv(m, 8), 8]
  return %r
}
END
tenon run pooled.tn
ok "sizes that nobody gave are those the model takes" says 0 "r: f32[8, 1, 8]" out
tenon run pooled.tn --set m=4
ok "those that are given stay" says 1 "(n = 1, m = 4)" err

# ---- check, bench, doc --------------------------------------------------------------------------------------

tenon check mlp.tn --set n=7
ok "check lists what a model has" eval 'is 0 && [ "$(sed "s/ .*//" out | sort -u | tr "\n" " ")" = "arena flops input kernels ops output parameters sound: symbol " ]'
ok "with sizes" grep -q "bytes at n = 7$" out
ok "and costs" grep -q "^flops  *24\*n$" out
tenon check even.tn --set n=2 --set m=1
ok "sizes that are not legal leave the arena unknown" says 0 "arena       unknown for these sizes (see --set): even: even.tn:3: add: n = m (n = 2, m = 1)" out
printf 'module "huge"\nfn @main(%%x: f32[2147483648, 64]) -> (%%y: f32[2147483648, 64]) {\n  %%0 = abs %%x\n  return %%0\n}\n' >huge.tn
tenon check huge.tn
ok "check needs no room for inputs" says 0 "f32[2147483648, 64]" out
tenon check mlp.tn --json
ok "check --json" eval 'is 0 && keys inputs outputs symbols ops parameters parameter_bytes flops kernels arena_bytes'
tenon bench mlp.tn --seconds 0.1 --threads 1
ok "bench" eval 'is 0 && grep -qE "^min [0-9.]+ ms, median [0-9.]+ ms over [0-9]+ runs; compiled in [0-9.]+ ms; peak [0-9]+ KiB, arena [0-9]+ bytes( \(scratch [0-9]+, values 1\.[0-9]+ of the [0-9]+ alive at once\))?$" out'
tenon bench step.tn --seconds 0.1 --json
ok "bench --json" eval 'is 0 && keys min_ms median_ms runs compile_ms first_ms peak_bytes arena_bytes scratch_bytes live_bytes weight_bytes'
tenon explain mlp.tn --set n=8 --seconds 0.05 --threads 1
ok "explain" eval 'is 0 && grep -qE "^ +0 k0 +[a-z]+ .* (compute|memory) +mlp.tn:[0-9]+$" out && grep -qE "^  time +predicted .* measured .* of it in kernels$" out'
tenon explain mlp.tn --no-run --json
ok "explain --no-run --json" eval 'is 0 && keys format name totals machine inputs outputs symbols constraints stages kernels values edges arena && grep -q "\"measured_ms\": null" out'
tenon explain mlp.tn --no-run --html page.html
ok "explain --html" eval 'is 0 && [ ! -s out ] && grep -q "^<!DOCTYPE html>" page.html'
tenon explain step.tn --set n=5 --no-run
ok "explain of sizes that are not allowed" says 1 "step.tn: error: n is 5, it must be at least 4 and at most 64, a multiple of 3" err
tenon explain mlp.tn --set m=5
ok "explain of a symbol that there is not" says 1 "the model has no such symbol; it has n" err
tenon explain mlp.tn --target aarch64-linux-gnu
ok "explain of another machine runs nothing" says 1 "code for aarch64-linux-gnu cannot run on this machine: --no-run explains it all the same" err
tenon explain mlp.tn --target aarch64-linux-gnu --no-run
ok "explain of another machine" says 0 "target aarch64-linux-gnu" out
tenon explain mlp.tn --no-run --html no/such/page.html
ok "explain to where it cannot be written" says 1 "no/such/page.html: error: cannot be written: No such file or directory" err
tenon run mlp.tn --profile
ok "--profile" eval 'is 0 && grep -qE " ms  k[0-9]+ +[a-z]+ +mlp.tn:" err'
tenon run mlp.tn --trace trace.json --cache off
ok "--trace" eval 'is 0 && grep -q "\"cat\": \"compile\", \"name\": \"fuse\"" trace.json && grep -q "\"name\": \"k0 dot[a-z+]* mlp.tn:" trace.json'
tenon bench mlp.tn --seconds 0.05 --trace trace.json
ok "bench --trace" eval 'is 0 && [ "$(grep -c "\"cat\": \"run\"" trace.json)" = 3 ]'
tenon run mlp.tn --trace /nowhere/trace.json
ok "a trace that cannot be written" says 1 "/nowhere/trace.json: error: cannot be written" err
tenon run mlp.tn --time --cache off
ok "--time" eval 'is 0 && grep -qE "^ +[0-9.]+ ms  fuse$" err'

# ---- The cache ---------------------------------------------------------------------------------------------------------

export TENON_CACHE_DIR="$work/cache"
tenon cache stats
ok "cache stats of none" eval 'is 0 && grep -qx "$work/cache: 0 programs, 0.0 MiB (limit 1024.0 MiB)" out && [ ! -e cache ]'
tenon run mlp.tn --time
ok "a program is stored" eval 'is 0 && grep -qE " ms  fuse$" err && grep -qE " ms  store$" err'
cp out first
tenon run mlp.tn --time
ok "and taken" eval 'is 0 && cmp -s out first && grep -qE " ms  cache$" err && ! grep -q fuse err'
export LD_DEBUG=files
tenon run mlp.tn
unset LD_DEBUG
if ldd "$TENON" | grep -q libLLVM || ! grep -q 'file=lib' err; then
    ok "without LLVM # SKIP tenon is linked with it" true
else
    ok "without LLVM" eval 'is 0 && cmp -s out first && ! grep -q libLLVM err'
fi
tenon run mlp.tn --perf-map --profile
ok "with names and times of kernels" eval 'is 0 && cmp -s out first && grep -qE " ms  k[0-9]+ +[a-z]+ +mlp.tn:" err'
tenon run mlp.tn --time --debug-info dbg
ok "not with debug information" eval 'is 0 && cmp -s out first && grep -qE " ms  fuse$" err && grep -qx "loops" dbg/mlp.loops.tn'
tenon run mlp.tn --time --cache off
ok "--cache off" eval 'is 0 && cmp -s out first && grep -qE " ms  fuse$" err && ! grep -q store err'
tenon bench mlp.tn --seconds 0.1 --cache on
ok "bench --cache on" is 0
tenon cache stats --json
ok "cache stats --json" eval 'is 0 && keys folder entries bytes limit_bytes && grep -q "\"entries\": 1," out'
for entry in cache/*.tenon; do printf x | dd of="$entry" bs=1 seek=700 conv=notrunc 2>/dev/null; done
tenon run mlp.tn
ok "a damaged entry is told" eval 'is 0 && cmp -s out first && grep -qxF "$work/cache: warning: the cache: an entry is damaged and will be made again: its checksum is wrong" err'
tenon run mlp.tn --time
ok "and made again" eval 'is 0 && cmp -s out first && grep -qE " ms  cache$" err && ! grep -q warning err'
tenon cache clear
ok "cache clear" eval 'is 0 && grep -q "cache: removed 1 programs, " out && [ -z "$(ls cache)" ]'
export TENON_CACHE_DIR=/dev/null/none
tenon run mlp.tn
ok "no folder, no matter" eval 'is 0 && cmp -s out first && ! grep -q warning err'
tenon run mlp.tn --time
ok "but for those who measure" eval 'is 0 && grep -qF "/dev/null/none: warning: the cache: " err'
tenon cache clear
ok "cache clear without a folder" says 1 "/dev/null/none: error: Not a directory" err
usage 'tenon cache: "purge": it can be "stats" or "clear" (see tenon cache --help)' cache purge
unset TENON_CACHE_DIR

tenon doc passes
ok "doc passes" says 0 "fuse" out

# ---- compile -------------------------------------------------------------------------------------

tenon compile step.tn -o made --emit exe --entry advance
ok "compile --emit exe" eval 'is 0 && grep -q "int made_advance(int64_t n, made_state \*state, float by, " made.h && test -s made.o'
printf "\001\002\003\004\001\002\003\004\001\002\003\004\001\002\003\004\001\002\003\004\001\002\003\004" >x.raw
./made n=6 x=x.raw by=0 sum=sum.raw >out 2>err
ok "the program runs" test "$(wc -c <sum.raw)" = 4
./made n=7 x=x.raw by=0 sum=sum.raw >out 2>err
ok "the program refuses sizes" grep -q "x.raw: has not the 28 bytes of its tensor" err
./made n=3 x=/dev/null by=0 >out 2>err
ok "the program says what the object says" grep -qE "has not the 12 bytes|n must be at least 4" err
tenon compile step.tn -o made --set n=6 --emit lib
ok "compile --emit lib --set" eval 'is 0 && grep -q "int made_run(made_state \*state, float by, " made.h && test -s made.so'
for kind in "asm s" "llvm ll"; do
    tenon compile mlp.tn -o made --emit "${kind% *}"
    ok "compile --emit ${kind% *}" eval 'is 0 && grep -q "made_run" "made.${kind#* }"'
done
tenon compile mlp.tn -o "odd name!" --weights file
ok "compile -o with a name that is none" eval 'is 0 && grep -q "int odd_name_run(" "odd name!.h" && test -s "odd name!.o"'
usage "tenon compile: what to write is missing: -o NAME writes NAME.o and NAME.h (see tenon compile --help)" compile mlp.tn
usage "tenon compile: --set: n is not SYMBOL=INT (see tenon compile --help)" compile mlp.tn -o made --set n
tenon compile mlp.tn -o made --set k=3
ok "compile --set of what is no size" says 1 "there is no size k (sizes are n)" err
tenon compile step.tn -o made --set n=5
ok "compile --set out of bounds" says 1 "n is 5, it must be at least 4 and at most 64, a multiple of 3" err
tenon compile mlp.tn -o made --function other
ok "compile --function" says 1 "there is no function @other" err
tenon compile mlp.tn -o nowhere/made
ok "compile -o into no folder" says 1 "nowhere/made.o" err
tenon compile mlp.tn -o made --target pdp11
ok "compile --target" says 1 'unknown target "pdp11"; known are native' err
tenon compile step.tn -o made --states nothing.safetensors
ok "compile --states" says 1 "nothing.safetensors" err
CC=false tenon compile mlp.tn -o made --emit exe
ok "compile without a compiler" says 1 "false could not link it" err

# ---- Start-up: at most 20 ms above a program that does nothing, but load libLLVM where tenon is linked with it --------

library=$(ldd "$TENON" | awk '/libLLVM/ { print $3 }')
if [ "${MODE:-default}" = default ] && echo 'int main(void) { return 0; }' >load.c &&
    "$CC" -o load load.c -Wl,--no-as-needed $library 2>err; then
    # The least of starts in turn, in microseconds; more of them as long as a loaded machine says no.
    micro() {
        began=$(date +%s%N)
        "$@" >/dev/null
        echo $((($(date +%s%N) - began) / 1000))
    }
    ours=999999999 theirs=999999999 starts=0
    while [ $starts -lt 10 ] || { [ $starts -lt 100 ] && [ $((ours - theirs)) -gt 20000 ]; }; do
        starts=$((starts + 1)) one=$(micro "$TENON" --help) two=$(micro ./load)
        [ "$one" -lt "$ours" ] && ours=$one
        [ "$two" -lt "$theirs" ] && theirs=$two
    done
    echo "# start-up: $ours us; a program that does nothing: $theirs us"
    ok "start-up" test $((ours - theirs)) -le 20000
else
    ok "start-up # SKIP only measured in the default build" true
fi
echo "1..$n"
