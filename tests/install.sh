#!/bin/sh
# `make install` puts what a user needs where it says, and the libraries keep their promises.
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
CC=${CC:-gcc}
stage=$BUILD/install-test
n=0
check() { # name, command...
    n=$((n + 1))
    name=$1
    shift
    if "$@" >"$BUILD/test-logs/install.out" 2>&1; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        tail -n 10 "$BUILD/test-logs/install.out" | sed 's/^/# /'
    fi
}
none() { ! "$@" | grep .; }

rm -rf "$stage"
check "make install with DESTDIR" make -s install MODE="${MODE:-default}" CC="$CC" PREFIX=/usr DESTDIR="$PWD/$stage"
for file in lib/libtenon.so lib/libtenon.so.0 lib/libtenon.a lib/libtenon_rt.a lib/pkgconfig/tenon.pc bin/tenon \
    include/tenon/tenon.h include/tenon/tenon_rt.h include/tenon/tenon_graph.h include/tenon/tenon_compile.h \
    include/tenon/tenon_onnx.h include/tenon/tenon_data.h include/tenon/tenon_nn.h \
    include/tenon/tenon_trace.h include/tenon/tenon_statistics.h include/tenon/tenon_train.h include/tenon/tenon_fit.h share/man/man1/tenon.1 share/tenon/digits.csv.gz \
    share/tenon/tenon.mk lib/cmake/tenon/tenon.cmake lib/cmake/tenon/tenon-config.cmake \
    lib/cmake/tenon/tenon-config-version.cmake; do
    check "installs $file" test -s "$stage/usr/$file"
done
check "tenon.pc has no place left open" none grep @ "$stage/usr/lib/pkgconfig/tenon.pc"
check "nor has the version that CMake reads" none grep @ "$stage/usr/lib/cmake/tenon/tenon-config-version.cmake"

# Each header compiles alone, as C and with pedantic warnings, from the installed folder only.
for header in "$stage"/usr/include/tenon/*.h; do
    check "$(basename "$header") compiles alone" "$CC" -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only \
        -I"$stage/usr/include/tenon" -x c "$header"
done

check "the library has its SONAME" sh -c "readelf -d '$BUILD/libtenon.so' | grep -q 'SONAME.*\[libtenon.so.0\]'"
foreign() { nm -D --defined-only "$BUILD/libtenon.so" | awk '$3 !~ /^tn_/ { print $3 }' | grep -v -E '^(__asan|__odr_asan|__ubsan|__gcov|__llvm|_init$|_fini$)'; }
check "libtenon.so exports tn_ symbols only" none foreign
# What a deployed program links has no compiler in it.
llvm_in_rt() { nm -u "$BUILD/libtenon_rt.a" | grep -E 'LLVM|openblas|cblas'; }
check "libtenon_rt.a knows no LLVM" none llvm_in_rt
echo "1..$n"
