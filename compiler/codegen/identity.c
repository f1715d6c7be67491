/* Which machine code is made for, and by which LLVM, in words (see codegen.h). */
#include "compiler/codegen/codegen.h"

#include "compiler/codegen/target.h"

#include <stdio.h>

bool codegen_identity(const codegen_target *wanted, char *text, size_t capacity) {
    target t;
    target_choice choice = {wanted->name, wanted->cpu, wanted->features, wanted->freestanding};
    unsigned major, minor, patch;
    tn_status status = target_choose(&t, &choice, NULL);
    bool is_known = status == TN_OK && t.runs_here;
    LLVMGetVersion(&major, &minor, &patch);
    if (is_known) {
        const machine *m = &t.machine;
        int length = snprintf(text, capacity, "LLVM %u.%u.%u; %s; %s; %s; caches %zu %zu %zu; %s; %s", major, minor,
                              patch, t.name, t.triple, t.cpu, m->l1_bytes, m->l2_bytes, m->l3_bytes, t.features,
                              t.is_freestanding ? "alone" : "hosted");
        is_known = length > 0 && (size_t)length < capacity;
    }
    target_free(&t);
    return is_known;
}
