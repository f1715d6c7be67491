#!/bin/sh
# Tests that compile and run programs, once more with code for other machines, under emulation.
#
# in:  $EMULATED, names of test programs that heed TN_MACHINE (tests/lib/object_run.h); only in the long mode.
#      $MACHINES: which ones (default all)
# out: their TAP lines under names of their own
#
# Needs cross compilers, qemu and node, which `make deps-emulation` installs; takes four minutes on one core for each of
# aarch64 and riscv64, whose tests are all of them, and as long for the two others together.
skip() { echo "1..1"; echo "ok 1 - emulated # SKIP $1"; exit 0; }
[ -n "${TN_LONG:-}" ] || skip "only in the long mode (make check-emulated)"

clang=$(for v in 22 21 20 19; do command -v "clang-$v"; done | head -n 1)
tools_of() {
    case $1 in
    aarch64) echo aarch64-linux-gnu-gcc qemu-aarch64 ;;
    riscv64) echo riscv64-linux-gnu-gcc qemu-riscv64 ;;
    arm-none-eabi) echo arm-none-eabi-gcc qemu-system-arm ;;
    wasm32) echo "${clang:-clang}" node ;;
    esac
}

# Every op, and the largest classes: what differs between these is the machine, not the loops.
tests_of() {
    case $1 in
    aarch64 | riscv64) echo "$EMULATED" ;;
    *) echo generated contract rows models ;;
    esac
}

# Small models, with states and loops: emulated, a large one takes minutes.
arguments_of() { [ "$1" != models ] || echo dtln silero-16k-1 silero-half-1 silero-sequence magika-1; }

# What the long mode adds is for code that runs at full speed.
unset TN_LONG
failed=0
for machine in ${MACHINES:-aarch64 riscv64 arm-none-eabi wasm32}; do
    missing=
    for tool in $(tools_of "$machine"); do command -v "$tool" >/dev/null || missing=$tool; done
    if [ -n "$missing" ]; then
        echo "ok - $machine # SKIP there is no $missing: make deps-emulation installs it"
        continue
    fi
    for name in $(tests_of "$machine"); do
        log=$BUILD/test-logs/emulated.$machine.$name
        # shellcheck disable=SC2046
        TN_MACHINE=$machine "$BUILD/tests/$name" $(arguments_of "$name") >"$log"
        status=$?
        sed -E -e '/^1\.\./d' -e "s/^((not )?ok) [0-9]+ (- )?/\1 - $machine $name: /" "$log"
        [ $status = 0 ] && continue
        failed=1
        grep -q '^not ok' "$log" || echo "not ok - $machine $name: exit status $status"
    done
done
exit $failed
