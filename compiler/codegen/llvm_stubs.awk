# Jumps to LLVM's functions, by a table that llvm_library.c fills.
#
# in:  lines of `nm -u` over code generation's objects; -v machine=x86_64|aarch64
# out: assembly: a function tn_<name> for each name, their names in the same order, the table, the number of them
$NF ~ /^tn_LLVM/ { names[$NF] = 1 }

function jump(i) {
    if (machine == "aarch64")
        return "\tadrp x16, tn_llvm_table + " 8 * i "\n\tldr x16, [x16, :lo12:tn_llvm_table + " 8 * i "]\n\tbr x16\n"
    return "\tjmp *tn_llvm_table + " 8 * i "(%rip)\n"
}

function hidden(name, type) { return "\t.globl " name "\n\t.hidden " name "\n\t.type " name ", %" type "\n" name ":\n" }

END {
    printf "\t.text\n"
    n = 0
    for (name in names) {
        printf "%s%s", hidden(name, "function"), jump(n)
        order[n++] = substr(name, 4)
    }
    printf "\t.section .rodata\n%s", hidden("tn_llvm_names", "object")
    for (i = 0; i < n; i++) printf "\t.asciz \"%s\"\n", order[i]
    printf "\t.balign 8\n%s\t.quad %d\n", hidden("tn_llvm_count", "object"), n
    printf "\t.bss\n\t.balign 8\n%s\t.zero %d\n", hidden("tn_llvm_table", "object"), 8 * n
    printf "\t.section .note.GNU-stack, \"\", %%progbits\n"
}
