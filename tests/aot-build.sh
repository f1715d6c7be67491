#!/bin/sh
# Models in other people's builds: CMake, GNU make and pkg-config, with what `make install` has put somewhere and with
# nothing of the sources. docs/examples/aot has the lists that are tried first.
#
# in:  $BUILD, $CC; cmake (with make, and ninja where it is) and pkg-config: what is missing is skipped
# out: one TAP line a check
cd "$(dirname "$0")/.." || exit 1
root=$PWD
CC=${CC:-cc}
work=$(realpath -m "${BUILD:-build}/test-logs/aot-build-work")
rm -rf "$work" && mkdir -p "$work" || exit 1
stage=$work/stage
make -s install MODE="${MODE:-default}" CC="$CC" PREFIX=/usr DESTDIR="$stage" >"$work/install.log" 2>&1
example=$work/example
cp -r docs/examples/aot "$example"
digits=$root/docs/examples/data/digits.csv.gz
cd "$work" || exit 1
TENON=$stage/usr/bin/tenon
. "$root/tests/lib/program.sh"
try() { "$@" >out 2>err; status=$?; }
skip() { # what, why
    n=$((n + 1))
    echo "ok $n - $1 # SKIP $2"
}
has() { type "$1" >/dev/null 2>&1; }
learns() { gzip -dc "$digits" | "$1" >out 2>err && grep -q "right: yes" out; }

tenon train digits --epochs 1 -o digits.onnx
ok "what is installed works" is 0

# ---- CMake ------------------------------------------------------------------------------------------------

# A project of its own, in C and C++, with the weights in a file, as a subfolder's target.
mkdir -p own/model && cp digits.onnx own/model/net.onnx
cat >own/CMakeLists.txt <<'TEXT'
cmake_minimum_required(VERSION 3.16)
project(own C CXX)
find_package(tenon REQUIRED)
add_subdirectory(model)
add_executable(reader main.c)
target_link_libraries(reader PRIVATE net)
get_target_property(weights net TENON_WEIGHTS)
target_compile_definitions(reader PRIVATE WEIGHTS="${weights}")
add_executable(other main.cpp)
target_link_libraries(other PRIVATE net)
add_executable(compiler compiler.c)
target_link_libraries(compiler PRIVATE tenon::tenon)
TEXT
echo 'tenon_add_model(net net.onnx NAME digit_net TARGET x86-64-v2,v3 WEIGHTS file SET n=1 OPTIONS --winograd off)' >own/model/CMakeLists.txt
cat >own/main.c <<'TEXT'
#include "digit_net.h"
#include <stdio.h>
#include <stdlib.h>
int main(void) {
    static _Alignas(64) char arena[DIGIT_NET_ARENA_BYTES];
    float x[64] = {0}, scores[10];
    FILE *f = fopen(WEIGHTS, "rb");
    char *weights = aligned_alloc(64, 1 << 22);
    size_t bytes = f && weights ? fread(weights, 1, 1 << 22, f) : 0;
    digit_net_bound bound;
    int code = digit_net_bind_weights(&bound, weights, bytes);
    if (!code) code = digit_net_run(&bound, &(digit_net_inputs){x}, &(digit_net_outputs){scores}, arena);
    printf("%s\n", digit_net_message(code));
    return code != 0;
}
TEXT
printf '#include "digit_net.h"\nint main() { return digit_net_message(0) == nullptr; }\n' >own/main.cpp
printf '#include <tenon.h>\n#include <stdio.h>\nint main(void) { char t[99]; tn_version_text(t, sizeof t); puts(t); return 0; }\n' >own/compiler.c

if has cmake; then
    for generator in "Unix Makefiles" Ninja; do
        if [ "$generator" = Ninja ] && ! has ninja; then
            skip "CMake with Ninja" "there is no ninja"
            continue
        fi
        folder=cmake-$(echo "$generator" | cut -c1-4)
        try cmake -G "$generator" -S "$example" -B "$folder" -DCMAKE_PREFIX_PATH="$stage/usr"
        ok "CMake ($generator) configures the example" is 0
        try cmake --build "$folder"
        ok "CMake ($generator) builds it" is 0
        ok "CMake ($generator): it learns" learns "$folder/learn"
        try cmake --build "$folder"
        ok "CMake ($generator) makes nothing twice" sh -c '! grep -q "Compiling the model" out'
        touch "$folder/digits_infer.tn"
        try cmake --build "$folder"
        ok "CMake ($generator) makes a model again that has changed" grep -q "Compiling the model digits_infer.tn" out
    done
    try cmake -S own -B own-build -DCMAKE_PREFIX_PATH="$stage/usr"
    ok "a project with C++ and a subfolder" is 0
    try cmake --build own-build -j2
    ok "builds" is 0
    try own-build/reader
    ok "its weights come from their file" says 0 done out
    try own-build/other
    ok "C++ links it" is 0
    if [ "${MODE:-default}" = default ]; then
        try own-build/compiler
        ok "tenon::tenon is the compiler itself" says 0 Tenon out
    fi
    if has aarch64-linux-gnu-gcc; then
        printf 'set(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR aarch64)\nset(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)\n' >arm.cmake
        try cmake -S "$example" -B arm -DCMAKE_PREFIX_PATH="$stage/usr" -DCMAKE_TOOLCHAIN_FILE="$work/arm.cmake"
        try cmake --build arm
        ok "a toolchain file tells the target" sh -c 'readelf -h arm/learn | grep -q AArch64'
    else
        skip "a toolchain file tells the target" "there is no aarch64-linux-gnu-gcc"
    fi
    sed -i 's/SET n=1/SIZE n=1/' own/model/CMakeLists.txt
    try cmake -S own -B own-build
    ok "a word that is none is told" grep -q "what is SIZE" err
    sed -i 's/SIZE n=1/SET m=1/' own/model/CMakeLists.txt
    try cmake -S own -B own-build
    try cmake --build own-build
    ok "what tenon says of a model stops the build" sh -c '[ '"$status"' != 0 ] && grep -q "error:" err out'
    sed -i 's/find_package(tenon/find_package(tenon 9.1/' own/CMakeLists.txt
    try cmake -S own -B other-build -DCMAKE_PREFIX_PATH="$stage/usr"
    ok "another version is not this one" sh -c '[ '"$status"' != 0 ] && grep -q "version" err'
else
    skip "CMake" "there is no cmake"
fi

# ---- pkg-config and make -----------------------------------------------------------------------------------

if has pkg-config; then
    # The staged folder is not where it says it is installed.
    export PKG_CONFIG="pkg-config --define-prefix" PKG_CONFIG_PATH="$stage/usr/lib/pkgconfig"
    ok "pkg-config knows the program" [ "$($PKG_CONFIG --variable=tenon tenon)" -ef "$TENON" ]
    ok "and where CMake's files are" [ -e "$($PKG_CONFIG --variable=cmakedir tenon)/tenon.cmake" ]
    mkdir makes
    try make -C makes -f "$example/Makefile" CC="$CC"
    ok "make builds the example" is 0
    ok "make: it learns" learns makes/learn
    try make -C makes -f "$example/Makefile" CC="$CC"
    ok "make makes nothing twice" grep -q "up to date" out
    touch makes/digits_infer.tn
    try make -C makes -f "$example/Makefile" CC="$CC"
    ok "make makes a model again that has changed, and no other" sh -c \
        'grep -q "compile digits_infer.tn" out && ! grep -q "compile digits.tn" out'
    rm makes/digits.h
    try make -C makes -f "$example/Makefile" CC="$CC"
    ok "or one whose header is gone" [ -s makes/digits.h ]
    cat >makes/weights.mk <<'TEXT'
include $(shell $(PKG_CONFIG) --variable=makefile tenon)
all: net.weights net.h
$(eval $(call tenon_model,net,../digits.onnx,--set n=1 --weights file))
TEXT
    try make -C makes -f weights.mk
    ok "make knows files of weights" [ -s makes/net.weights ]
    # shellcheck disable=SC2046
    if [ "${MODE:-default}" = default ]; then
        try $CC own/compiler.c $($PKG_CONFIG --cflags --libs tenon) -Wl,-rpath,"$stage/usr/lib" -o compiler
        ok "the compiler links by pkg-config" sh -c "./compiler >out"
    fi
else
    skip "pkg-config and make" "there is no pkg-config"
fi
echo "1..$n"
