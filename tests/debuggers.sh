#!/bin/sh
# gdb and perf over compiled code: kernels by name and by line of the text that --debug-info writes, in the program `tenon`
# and in a program that links an object.
#
# in:  $TENON, gdb, perf; what is not there, or may not be used here, is skipped
# out: one TAP line a check; what gdb said when it was not what was wanted
TENON=$(realpath "${TENON:-build/tenon}")
cd "$(dirname "$0")/.." || exit 1
root=$PWD
build=$(realpath "${BUILD:-build}")
. tests/lib/program.sh
CC=${CC:-gcc}
work=$(realpath -m "${BUILD:-build}/test-logs/debuggers-work")
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1

cat >mlp.tn <<'END'
module "mlp"
fn @main(%x: f32[n, 64], %w: f32[64, 32] weight, %b: f32[32] weight) -> (%y: f32[n, 32]) {
  %0 = dot %x, %w, contract=[1]x[0]
  %1 = broadcast %b, dims=[1], shape=[n, 32]
  %2 = add %0, %1
  %3 = tanh %2
  %y = softmax %3, axis=1
  return %y
}
END

skip() { # name, why
    n=$((n + 1))
    echo "ok $n - $1 # SKIP $2"
}

# ---- gdb -----------------------------------------------------------------------------------------

# Runs gdb with commands on a program; what it says goes to `out`.
debug() { # commands, program, arguments...
    commands=$1
    shift
    printf '%s\n' 'set confirm off' 'set pagination off' 'set width 0' 'set debuginfod enabled off' \
        'set breakpoint pending on' "$commands" >commands
    timeout 120 gdb -q -nx -batch -x commands --args "$@" >out 2>err </dev/null
    status=$?
}
shown() { grep -qE -- "$1" out; }
# The first line of the text that begins with these words, after blanks.
line_of() { grep -nE "^ *$1" "$2" | head -n 1 | cut -d: -f1; }

# A debugger may be forbidden to run a program, as in some containers.
can_debug() {
    command -v gdb >/dev/null || { why="gdb is not installed"; return 1; }
    debug 'run' /bin/true
    grep -q "exited normally" out || { why="gdb may run no program here"; return 1; }
}

check_run() {
    run="$TENON run mlp.tn --set n=50 --threads 1 --debug-info dbg"
    tenon run mlp.tn --set n=50 --threads 1
    cp out plain
    tenon run mlp.tn --set n=50 --threads 1 --debug-info dbg
    ok "--debug-info: the same results, and a text" eval 'is 0 && cmp -s out plain && [ -s dbg/mlp.loops.tn ]'
    tenon run dbg/mlp.loops.tn --set n=50 --threads 1
    ok "which runs as well" eval 'is 0 && cmp -s out plain'
    text=dbg/mlp.loops.tn
    call=$(line_of '%.* = call .*callee=@k0' $text) main=$(line_of 'fn @main' $text)
    softmax=$(awk '/^kernel @k1/ { inside = 1 } inside && / exp %/ { print NR; exit }' $text)

    # shellcheck disable=SC2086
    debug 'break k0
run
backtrace' $run
    ok "gdb stops in a kernel by its name" shown '^Breakpoint 1.*, k0 .* at mlp.loops.tn:[0-9]+$'
    ok "and shows its line" shown '^[0-9]+	  stage \$[0-9]+ in '
    ok "backtrace: from the kernel to the line of its call" shown "fn_main \(.*\) at mlp.loops.tn:$call\$"
    ok "to run" shown " run \(.*\) at mlp.loops.tn:$main\$"
    ok "and to Tenon" shown ' in (call_program|exec_run) '

    # shellcheck disable=SC2086
    debug "tbreak mlp.loops.tn:$softmax
run
list
backtrace 1
info locals
print in0[0]@4
continue" $run
    ok "gdb stops at a line" shown "^Temporary breakpoint 1, k1 .* at mlp.loops.tn:$softmax\$"
    ok "list shows the loop tree" shown ' for \$[0-9]+ in 0 to 32 vector'
    ok "counters, buffers and values have names" eval 'shown "^i1 = [0-9]+$" && shown "^v0 = -inf$" && shown "^row = 0x"'
    ok "elements of a buffer" shown '^\$1 = \{-?[0-9.e-]+, -?[0-9.e-]+, -?[0-9.e-]+, -?[0-9.e-]+\}$'
    ok "the program ends as without" shown 'exited normally'

    # shellcheck disable=SC2086
    debug 'break k1
run
next
next
info source' $run
    ok "gdb goes from line to line" shown '^Current source file is mlp.loops.tn'
    ok "of the file as it is" shown "^Located in $work/dbg/mlp.loops.tn"

    # shellcheck disable=SC2086
    debug 'break prepare_run
run' $run --threads 2
    ok "packing of weights too" shown 'Breakpoint 1, run \(.*\) at mlp.loops.tn:'$(line_of 'fn @prepare' $text)\$
}

# The lines that the user wrote.
check_source() {
    tanh=$(line_of '%3 = tanh' mlp.tn) product=$(line_of '%0 = dot' mlp.tn)
    # shellcheck disable=SC2086
    debug "tbreak k0
tbreak mlp.tn:$tanh
run
backtrace
continue
list
continue" $run --debug-lines source
    ok "--debug-lines source: a kernel is at the line of its heaviest node" shown "^Temporary breakpoint 1.*, k0 .* at .*mlp.tn:$product\$"
    ok "which the backtrace has as that of the call" shown "fn_main \(.*\) at .*mlp.tn:$product\$"
    ok "a breakpoint at a node" shown "^Temporary breakpoint 2, k0 .* at .*mlp.tn:$tanh\$"
    ok "list shows the model" shown '^[0-9]+	  %2 = add %0, %1$'
    tenon dump mlp.tn --after fuse -o again.tn
    debug "tbreak mlp.tn:$tanh
run" "$TENON" run again.tn --set n=50 --threads 1 --debug-info dbg --debug-lines source
    ok "of a dump, too" shown "^Temporary breakpoint 1, k0 .* at .*mlp.tn:$tanh\$"
}

# A graph that is built in C, in a program with the shared library: the line of the call that made a node.
check_library() {
    cat >built.c <<'END'
#include "tenon_compile.h"
int main(void) {
    tn_graph *g = tn_graph_new("built");
    tn_val x = tn_input(g, "x", TN_F32, TN_SHAPE(TN_SIZE(64)));
    tn_val y = tn_exp(x);
    tn_val z = tn_sin(y);
    tn_output(g, "z", z);
    tn_program *p = tn_compile(g, &(tn_compile_options){.debug_info = "built.loops.tn", .debug_lines = "source"});
    static float in[64], out[64];
    tn_tensor input = TN_TENSOR(TN_F32, in, 64), output = TN_TENSOR(TN_F32, out, 64);
    int failed = !p || tn_run(p, &input, &output) != TN_OK || out[0] < 0.8f;
    tn_program_free(p);
    tn_graph_free(g);
    return failed;
}
END
    $CC -g -I"$root/runtime" -I"$root/ir" -I"$root/compiler" built.c -o built -L"$build" -ltenon -Wl,-rpath,"$build" \
        >out 2>err
    status=$?
    ok "a program with libtenon.so" is 0
    debug 'tbreak k0
run
backtrace
next
next
continue' ./built
    ok "its kernel is at the line of the C program" shown '^Temporary breakpoint 1, k0 .* at .*built\.c:[56]$'
    ok "which list shows" shown '^[56]	    tn_val [yz] = tn_'
    ok "called from main" shown ' main \(\) at built.c:11$'
    ok "and it ends well" shown 'exited normally'
}

check_object() {
    tenon compile mlp.tn -o mlp --set n=50 --emit exe --debug-info aot
    ok "compile --debug-info" eval 'is 0 && [ -s aot/mlp.loops.tn ]'
    head -c 12800 /dev/zero >x.raw
    head -c 8192 /dev/zero >w.raw
    head -c 128 /dev/zero >b.raw
    debug 'break k1
run
backtrace
list' ./mlp x=x.raw w=w.raw b=b.raw y=y.raw
    ok "gdb stops in a kernel of an object" shown '^Breakpoint 1.*, k1 .* at mlp.loops.tn:[0-9]+$'
    ok "called by main" shown ' main \(.*'
    tenon compile mlp.tn -o plain --set n=50
    ok "no debug information where none is asked for" eval 'is 0 && ! grep -q debug_info plain.o'
}

if can_debug; then
    check_run
    check_source
    [ "${MODE:-default}" = default ] && check_library # sanitisers want to be loaded first
    check_object
else
    skip "gdb" "$why"
fi

# ---- perf ----------------------------------------------------------------------------------------

can_record() {
    command -v perf >/dev/null || { why="perf is not installed"; return 1; }
    perf record -q -o probe.data true >out 2>err || { why="perf may not record here"; return 1; }
}

check_perf() {
    perf record -q -o perf.data "$TENON" bench mlp.tn --set n=512 --threads 1 --seconds 0.5 --perf-map >out 2>err
    status=$?
    ok "perf record" is 0
    perf report -i perf.data --stdio >out 2>err
    ok "perf report has kernels by name, ops and line" grep -qE 'k[0-9]+\.s[0-9]+:[a-z+.]+:mlp\.tn:[0-9]+' out
    perf script -i perf.data >out 2>err
    ok "perf script too" grep -qE ' k[0-9]+\.s[0-9]+:[a-z+.]+:mlp\.tn:[0-9]+' out
}

if can_record; then check_perf; else skip "perf" "$why"; fi

echo "1..$n"
