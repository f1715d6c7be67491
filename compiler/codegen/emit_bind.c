/* What can go wrong: loaded indices, clamped, bound to a variable, and reported when out of range; and checks.
 *
 * in:  LT_BIND, LT_CHECK
 * out: the variable's value; on the slow path the worker's status word lowered
 * law: the word of a run is the least over all elements, so it does not depend on threads
 */
#include "compiler/codegen/emit_state.h"

#include <stddef.h>

enum { STATUS_WORDS_APART = 8 };

static LLVMValueRef choose(emit *e, LLVMIntPredicate p, LLVMValueRef x, LLVMValueRef y, const char *name) {
    return LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, p, x, y, ""), x, y, name);
}

static LLVMValueRef reduce(emit *e, const char *name, LLVMValueRef v) {
    LLVMTypeRef type = LLVMTypeOf(v);
    return emit_is_vector(v) ? emit_intrinsic(e, name, &type, 1, &v, 1, "") : v;
}

/* The status word of the first bad element, TN_STATUS_CLEAR in lanes that are not bad. */
static LLVMValueRef error_word(emit *e, tn_dim at, uint32_t number, LLVMValueRef bad) {
    bool is_vector = emit_is_vector(bad);
    LLVMValueRef greatest = emit_const_i64(e, (int64_t)((UINT64_C(1) << TN_STATUS_INDEX_BITS) - 1));
    LLVMValueRef element = is_vector ? emit_dim_vector(e, at) : emit_dim(e, at);
    LLVMValueRef site =
        LLVMBuildAdd(e->builder, emit_slot_i64(e, ABI_SITE_BASE, "site_base"), emit_const_i64(e, number), "site");
    LLVMValueRef high = LLVMBuildShl(e->builder, site, emit_const_i64(e, TN_STATUS_INDEX_BITS), "");
    if (e->kernel->sites[number].kind == LT_SITE_HINT)
        high = LLVMBuildOr(e->builder, high, emit_const_i64(e, (int64_t)TN_STATUS_HINT), "");
    LLVMValueRef none = emit_const_i64(e, -1);
    if (is_vector) {
        greatest = emit_splat(e, greatest);
        high = emit_splat(e, high);
        none = emit_splat(e, none);
    }
    LLVMValueRef index = choose(e, LLVMIntULT, element, greatest, "");
    LLVMValueRef word = LLVMBuildSelect(e->builder, bad, LLVMBuildOr(e->builder, high, index, ""), none, "word");
    return reduce(e, "llvm.vector.reduce.umin", word);
}

static void record_error(emit *e, tn_dim element, uint32_t site, LLVMValueRef bad) {
    LLVMValueRef status = emit_frame_field(e, e->pointer, offsetof(tn_frame, status), "status");
    LLVMValueRef worker = LLVMBuildSExt(e->builder, e->worker, e->i64, "");
    LLVMValueRef at = LLVMBuildMul(e->builder, worker, emit_const_i64(e, STATUS_WORDS_APART), "");
    LLVMValueRef address = LLVMBuildGEP2(e->builder, e->i64, status, &at, 1, "");
    LLVMValueRef old = LLVMBuildLoad2(e->builder, e->i64, address, "old");
    LLVMBuildStore(e->builder, choose(e, LLVMIntULT, error_word(e, element, site, bad), old, "least"), address);
}

/* Of a bool or one for each lane, those of the lanes that are live. */
static LLVMValueRef live(emit *e, tn_dim element, LLVMValueRef bad) {
    if (e->mask) return LLVMBuildAnd(e->builder, emit_splat(e, bad), e->mask, "");
    return !emit_is_vector(bad) && emit_dim_varies(e, element) ? emit_splat(e, bad) : bad;
}

/* Goes on in a block that is run where one of `any` holds, and then to the other, which is returned. */
static LLVMBasicBlockRef open_slow_path(emit *e, LLVMValueRef any, uint32_t number) {
    LLVMBasicBlockRef slow = emit_new_block(e, "bad", number), go_on = emit_new_block(e, "checked", number);
    LLVMBuildCondBr(e->builder, reduce(e, "llvm.vector.reduce.or", any), slow, go_on);
    LLVMPositionBuilderAtEnd(e->builder, slow);
    return go_on;
}

static void close_slow_path(emit *e, LLVMBasicBlockRef go_on) {
    LLVMBuildBr(e->builder, go_on);
    LLVMPositionBuilderAtEnd(e->builder, go_on);
}

static void record_where(emit *e, tn_dim element, uint32_t site, LLVMValueRef bad) {
    bad = live(e, element, bad);
    LLVMBasicBlockRef go_on = open_slow_path(e, bad, site);
    record_error(e, element, site, bad);
    close_slow_path(e, go_on);
}

/* ---- Checks ---- */

void emit_check(emit *e, const lt_stmt *s) {
    if (e->n_checks == EMIT_MOST_CHECKS) emit_pending_checks(e);
    e->checks[e->n_checks++] = s;
}

static LLVMValueRef either(emit *e, LLVMValueRef x, LLVMValueRef y) {
    if (emit_is_vector(x) || emit_is_vector(y)) {
        x = emit_splat(e, x);
        y = emit_splat(e, y);
    }
    return LLVMBuildOr(e->builder, x, y, "");
}

void emit_pending_checks(emit *e) {
    LLVMValueRef bad[EMIT_MOST_CHECKS], any = NULL;
    uint32_t n = e->n_checks;
    e->n_checks = 0;
    if (n == 0 || e->failed) return;
    for (uint32_t i = 0; i < n; i++) {
        const lt_stmt *s = e->checks[i];
        bad[i] = live(e, s->check.element, emit_value(e, s->check.value));
        any = any ? either(e, any, bad[i]) : bad[i];
    }
    LLVMBasicBlockRef go_on = open_slow_path(e, any, e->checks[0]->check.site);
    for (uint32_t i = 0; i < n; i++) record_error(e, e->checks[i]->check.element, e->checks[i]->check.site, bad[i]);
    close_slow_path(e, go_on);
}

/* ---- Loaded indices ---- */

void emit_bind(emit *e, const lt_stmt *s) {
    uint32_t number = dim_variable_number(e->dims, s->bind.variable);
    variable *v = &e->variables[number];
    bool varying = e->lanes > 1 && v->is_varying;
    LLVMValueRef value = emit_value_as(e, s->bind.value, varying);
    LLVMValueRef limit = varying ? emit_dim_vector(e, s->bind.limit) : emit_dim(e, s->bind.limit);

    if (s->bind.site != LT_NONE)
        record_where(e, s->bind.element, s->bind.site, LLVMBuildICmp(e->builder, LLVMIntUGE, value, limit, "bad"));

    LLVMValueRef one = emit_const_i64(e, 1), zero = emit_const_i64(e, 0);
    if (varying) {
        one = emit_splat(e, one);
        zero = emit_splat(e, zero);
    }
    LLVMValueRef last = LLVMBuildSub(e->builder, limit, one, "");
    LLVMValueRef clamped = choose(e, LLVMIntSLT, value, last, "");
    clamped = choose(e, LLVMIntSGT, clamped, zero, "index");
    if (!emit_open_scope(e, "bound", number)) return;
    *v = (variable){.scalar = varying ? NULL : clamped,
                    .vector = varying ? clamped : NULL,
                    .level = (uint32_t)e->n_scopes - 1,
                    .is_varying = varying};
    emit_push_range(e, s->bind.variable, dim_const(e->dims, 0), dim_add_const(e->dims, s->bind.limit, -1));
}
