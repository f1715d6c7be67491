#!/bin/sh
# A C compiler for tests/lib/object_run.c whose programs link the object m.o themselves, with compiler/codegen/link.c.
#
#   link_cc.sh COMPILER ARGUMENT...
#
# The program is run where m.o lies.
root=$(cd "$(dirname "$0")/../.." && pwd)
cc=$1
shift
case " $* " in
*" m.o "*) ;;
*) exec "$cc" -static "$@" ;;
esac
prepare=
nm m.o | grep -q ' m_prepare_run$' && prepare=-DHAS_PREPARE
# shellcheck disable=SC2086
exec "$cc" -static -std=c11 -D_GNU_SOURCE -O1 -Wall $prepare -I"$root" -I"$root/runtime" -I"$root/ir" -I"$root/compiler" \
    frame_driver.o "$root/tests/tools/link_driver.c" "$root"/compiler/codegen/link*.c "$root/runtime/alloc.c" \
    "$root/runtime/diag.c" -o program
