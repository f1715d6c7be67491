#!/bin/sh
# run-cortex-m7.sh PROGRAM ARGUMENT...: runs a program linked with cortex_m7.ld, in this folder, by qemu.
config=enable=on,target=native
for argument; do config=$config,arg=$argument; done
exec timeout 120 qemu-system-arm -M mps2-an500 -nographic -monitor none -serial none -semihosting-config "$config" -kernel "$1"
