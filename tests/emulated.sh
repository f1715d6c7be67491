#!/bin/sh
# Tests that compile and run programs, once more with code for aarch64, under user-mode emulation.
#
# in:  $EMULATED, names of test programs that heed TN_MACHINE (tests/lib/object_run.h); only in the long mode
# out: their TAP lines under names of their own
#
# Needs a cross compiler and qemu, which `make deps-emulation` installs; takes four minutes on one core.
skip() { echo "1..1"; echo "ok 1 - aarch64 # SKIP $1"; exit 0; }
[ -n "${TN_LONG:-}" ] || skip "only in the long mode (make check-emulated)"
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v $tool >/dev/null || skip "there is no $tool: make deps-emulation installs it"
done

# Small models, with states and loops: emulated, a large one takes minutes.
arguments_of() { [ "$1" != models ] || echo dtln silero-16k-1 silero-half-1 silero-sequence magika-1; }

# What the long mode adds is for code that runs at full speed.
unset TN_LONG
failed=0
for name in $EMULATED; do
    # shellcheck disable=SC2046
    TN_MACHINE=aarch64 "$BUILD/tests/$name" $(arguments_of "$name") >"$BUILD/test-logs/emulated.$name"
    status=$?
    sed -E -e '/^1\.\./d' -e "s/^((not )?ok) [0-9]+ (- )?/\1 - aarch64 $name: /" "$BUILD/test-logs/emulated.$name"
    [ $status = 0 ] && continue
    failed=1
    grep -q '^not ok' "$BUILD/test-logs/emulated.$name" || echo "not ok - aarch64 $name: exit status $status"
done
exit $failed
