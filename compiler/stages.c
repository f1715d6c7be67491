/* The stages from a module to an object, the whole way in one place:
 *
 *   verify -> passes (passes.def) -> loops and plan -> LLVM -> object
 *
 * After each a watcher is told its name and time, and given its text when it asks.
 */
#include "compiler/stages.h"

#include "compiler/code_notes.h"
#include "compiler/debug_text.h"
#include "compiler/watch.h"

#include "compiler/loops/nan_looks.h"
#include "compiler/loops/pack.h"
#include "compiler/loops/section.h"

#include <stdio.h>
#include <string.h>

static const tn_compile_options no_options;

static bool fail(compilation *c, tn_status status, const char *message) {
    if (c->diag.status == TN_OK) {
        c->diag.status = status;
        snprintf(c->diag.message, sizeof c->diag.message, "%s", message);
    }
    return false;
}

static bool take_module_error(compilation *c) {
    if (c->diag.status == TN_OK) c->diag = c->module->error;
    return c->diag.status == TN_OK ? fail(c, TN_ERR_INTERNAL, "a stage failed without a message") : false;
}

/* ---- Texts of stages ---- */

char *compilation_text(compilation *c, const char *stage, const char *data_path) {
    if (strcmp(stage, "loops") == 0) return debug_text_print(c, data_path);
    if (strcmp(stage, "plan") == 0) return plan_print(&c->plan, data_path);
    if (strcmp(stage, "llvm") == 0) return code_with_notes(&c->plan, codegen_text(c->codegen, CODEGEN_LLVM), ";");
    if (strcmp(stage, "asm") == 0) return code_with_notes(&c->plan, codegen_text(c->codegen, CODEGEN_ASSEMBLY), "#");
    return tn_module_print(c->module, data_path);
}

/* ---- Watching ---- */

typedef struct watching {
    const compilation_goal *goal;
    double start;
} watching;

/* Tells the watcher and the inspector; true when this was the last stage to run (its text is taken). */
static bool stage_done(compilation *c, watching *w, const char *name) {
    const tn_compile_options *o = c->options;
    double now = watch_now_ms();
    bool is_last = w->goal->last && strcmp(w->goal->last, name) == 0;
    bool is_wanted =
        o->watch && o->watch_text && (strcmp(o->watch_text, "all") == 0 || strcmp(o->watch_text, name) == 0);
    char *text = is_wanted && strcmp(name, "object") != 0 ? compilation_text(c, name, NULL) : NULL;
    if (o->watch) o->watch(o->watch_ctx, &(tn_stage_report){name, now - w->start, text});
    tn_free(text);
    if (is_last && w->goal->text) *w->goal->text = compilation_text(c, name, w->goal->data_path);
    if (w->goal->inspect && strcmp(name, "object") != 0) is_last |= !w->goal->inspect(w->goal->inspect_ctx, c, name);
    w->start = watch_now_ms();
    return is_last;
}

/* ---- Stages ---- */

static bool verify(compilation *c) { return tn_module_verify(c->module, &c->diag) == TN_OK; }

#ifdef NDEBUG
static const bool verify_always = false;
#else
static const bool verify_always = true;
#endif

/* Loop trees in the text, for `lower`; the module goes on without them. */
static bool take_given_loops(compilation *c) {
    given_loops *given = ARENA_NEW(&c->module->memory, given_loops);
    if (!given) return fail(c, TN_ERR_MEMORY, "out of memory");
    *given = (given_loops){.are_trusted = c->options->trust_loops};
    c->plan.given = given;
    if (!given_loops_read(c->module, given)) return take_module_error(c);
    c->module->loops = (loops_text){0};
    return true;
}

static int64_t panel_columns(const void *ctx, const weight_use *use) {
    if (use->is_conv) {
        product_shape s = {.rows = use->rows,
                           .columns = use->columns,
                           .depth = use->depth,
                           .element_bytes = tn_dtype_bits(use->dtype) / 8,
                           .is_plain = {use->is_pointwise},
                           .lines = use->lines};
        return blocking_conv_panel(ctx, &s);
    }
    return blocking_panel(ctx, use->dtype, use->rows, use->columns, use->depth);
}

static bool run_passes(compilation *c, watching *w, bool *stopped) {
    pass_options o = {.panel_columns = panel_columns,
                      .panel_ctx = codegen_machine(c->codegen),
                      .fold_limit_bytes = c->options->fold_limit_bytes,
                      .hoist_growth = c->options->hoist_growth,
                      .calls_blas = c->blas != NULL,
                      .weights = c->weights,
                      .no_winograd = c->options->winograd && strcmp(c->options->winograd, "on") != 0,
                      .strassen = c->options->strassen && strcmp(c->options->strassen, "on") == 0,
                      .no_fusion = c->options->no_fusion,
                      .nan_check = c->options->nan_check,
                      .fusion_notes = w->goal->keeps_notes ? &c->fusion_notes : NULL};
    for (size_t i = 0; i < n_passes; i++) {
        if (!pass_table[i].run(c->module, &o)) return take_module_error(c);
        if ((verify_always || c->options->verify_each) && !verify(c)) return false;
        if ((*stopped = stage_done(c, w, pass_table[i].name))) return true;
    }
    return true;
}

/* lt_verify names the kernel. */
static bool verify_loops(compilation *c) {
    for (size_t i = 0; i < c->plan.n_kernels; i++)
        if (!lt_verify(c->plan.kernels[i].loops, &c->diag)) return false;
    return true;
}

static bool lower(compilation *c, bool with_prepare) {
    c->main = module_main(c->module);
    c->prepare = module_find(c->module, "prepare");
    if (c->options->nan_check && !nan_looks_find(c->module)) return take_module_error(c);
    if (!plan_entry(&c->plan, c->main, &c->machine) ||
        (c->prepare && with_prepare && !plan_entry(&c->plan, c->prepare, &c->machine)))
        return take_module_error(c);
    return !(verify_always || c->options->verify_each) || verify_loops(c);
}

static bool share(compilation *c) {
    if (!plan_share(&c->plan)) return take_module_error(c);
    return !(verify_always || c->options->verify_each) || verify_loops(c);
}

static bool find_parts(compilation *c) {
    if (!loop_parts_find(&c->parts, &c->plan)) return fail(c, TN_ERR_MEMORY, "out of memory");
    return codegen_know_parts(c->codegen, &c->parts);
}

/* Tokens order what a program does; its callers have none. */
static bool check_signature(compilation *c) {
    bool has_token = false;
    for (size_t i = 0; i < c->main->n_params; i++) has_token |= c->main->params[i].type.dtype == TN_TOKEN;
    for (size_t i = 0; i < c->main->n_results; i++)
        has_token |= graph_type(c->main, c->main->results[i].value)->dtype == TN_TOKEN;
    return !has_token || fail(c, TN_ERR_UNSUPPORTED,
                              "a program has no tokens as parameters or results: the op token starts one in it");
}

static bool emit(compilation *c, const char *prefix, bool with_prepare) {
    char prepare_prefix[200];
    snprintf(prepare_prefix, sizeof prepare_prefix, "%sprepare_", prefix);
    return check_signature(c) && share(c) && find_parts(c) &&
           codegen_emit(c->codegen, &c->plan, c->main, prefix, &c->tables) &&
           (!with_prepare || codegen_emit(c->codegen, &c->plan, c->prepare, prepare_prefix, &c->prepare_tables)) &&
           (!verify_always || codegen_verify(c->codegen));
}

static bool run_stages(compilation *c, watching *w) {
    const tn_compile_options *o = c->options;
    const compilation_goal *goal = w->goal;
    bool stopped = false;
    if (!verify(c) || !take_given_loops(c)) return false;
    if (stage_done(c, w, "import")) return true;
    bool in_one_module =
        goal->one_object || goal->is_version || goal->last || goal->inspect || o->watch_text; /* texts are of one */
    codegen_target target = {o->target, o->cpu, o->features, o->freestanding};
    c->codegen = goal->into ? goal->into : codegen_new(&target, o->level ? o->level : 2, in_one_module, &c->diag);
    c->owns_codegen = c->codegen && !goal->into;
    if (!c->codegen) return false;
    watch_tell(o, "target", w->start); /* LLVM is loaded by the first */
    w->start = watch_now_ms();
    c->machine = *codegen_machine(c->codegen);
    c->machine.keeps_notes = goal->keeps_notes;
    if (!run_passes(c, w, &stopped) || stopped) return stopped;
    bool with_prepare = !goal->is_version; /* its weights are packed already */
    if (!lower(c, with_prepare)) return false;
    if (stage_done(c, w, "loops") || (goal->last && stage_done(c, w, "plan"))) return true;
    if (!debug_text_write(c)) return false;
    module_drop_pages(c->module); /* code generation needs memory, and no weights */
    if (!emit(c, goal->prefix, c->prepare && with_prepare)) return false;
    if (goal->is_version) return true;
    if (stage_done(c, w, "llvm") || ((goal->last || goal->inspect) && stage_done(c, w, "asm"))) return true;
    c->objects = codegen_build(c->codegen, o->pool, &c->n_objects);
    if (c->objects) stage_done(c, w, "object");
    return c->objects != NULL;
}

static bool choose_gemm(compilation *c) {
    const char *gemm = c->options->gemm ? c->options->gemm : "own";
    if (strcmp(gemm, "own") == 0) return true;
    if (c->options->nan_check && strcmp(gemm, "blas") == 0)
        return fail(c, TN_ERR_ARGUMENT, "gemm is \"blas\", whose products nan_check cannot look at: it can be \"own\"");
    if (strcmp(gemm, "blas") == 0) return (c->blas = blas_open(&c->diag)) != NULL;
    char message[160];
    snprintf(message, sizeof message, "gemm is \"%.80s\": it can be \"own\" or \"blas\"", gemm);
    return fail(c, TN_ERR_ARGUMENT, message);
}

static bool choose_weights(compilation *c) {
    static const char *const names[] = {[WEIGHTS_F32] = "f32", [WEIGHTS_BF16] = "bf16", [WEIGHTS_INT8] = "int8"};
    const char *weights = c->options->weight_type ? c->options->weight_type : "f32";
    int i = 0, n = (int)(sizeof names / sizeof *names);
    while (i < n && strcmp(weights, names[i]) != 0) i++;
    char message[160];
    snprintf(message, sizeof message, "weight_type is \"%.80s\": it can be \"f32\", \"bf16\" or \"int8\"", weights);
    if (i == n) return fail(c, TN_ERR_ARGUMENT, message);
    if (i != WEIGHTS_F32 && c->options->gemm && strcmp(c->options->gemm, "blas") == 0)
        return fail(c, TN_ERR_ARGUMENT, "gemm is \"blas\", which reads weights as f32: weights cannot be narrower");
    c->weights = (weight_format)i;
    return true;
}

bool compilation_run(compilation *c, tn_module *m, const tn_compile_options *options, const compilation_goal *goal) {
    *c = (compilation){.options = options ? options : &no_options};
    watching w = {.goal = goal, .start = watch_now_ms()};
    if (m->error.status != TN_OK && !m->error_is_passing) {
        c->diag = m->error;
        return false;
    }
    if (!(c->module = module_clone_called(m))) return fail(c, TN_ERR_MEMORY, "out of memory");
    if (c->module->error.status != TN_OK) return take_module_error(c);
    if (c->options->winograd && strcmp(c->options->winograd, "on") != 0 && strcmp(c->options->winograd, "off") != 0)
        return fail(c, TN_ERR_ARGUMENT, "--winograd: \"on\" or \"off\"");
    if (c->options->strassen && strcmp(c->options->strassen, "on") != 0 && strcmp(c->options->strassen, "off") != 0)
        return fail(c, TN_ERR_ARGUMENT, "--strassen: \"on\" or \"off\"");
    if (c->options->debug_lines && strcmp(c->options->debug_lines, "loops") != 0 &&
        strcmp(c->options->debug_lines, "source") != 0)
        return fail(c, TN_ERR_ARGUMENT, "--debug-lines: \"loops\" or \"source\"");
    if (c->options->cache && strcmp(c->options->cache, "on") != 0 && strcmp(c->options->cache, "off") != 0)
        return fail(c, TN_ERR_ARGUMENT, "--cache: \"on\" or \"off\"");
    if (!choose_weights(c) || !choose_gemm(c)) return false;
    return run_stages(c, &w) && c->diag.status == TN_OK; /* an inspector may have something to say */
}

void compilation_drop_code(compilation *c) {
    if (c->owns_codegen) codegen_free(c->codegen);
    plan_free(&c->plan);
    c->codegen = NULL;
    c->objects = NULL;
    c->n_objects = 0;
}

void compilation_end(compilation *c) {
    compilation_drop_code(c);
    emitted_tables_free(&c->tables);
    emitted_tables_free(&c->prepare_tables);
    blas_close(c->blas);
    tn_free(c->fusion_notes.items);
    tn_module_free(c->module);
}

static const char *const stage_names[] = {
    "import",
#define PASS(name, needs, gives, doc) #name,
#include "compiler/passes/passes.def"
#undef PASS
    "loops",  "plan", "llvm", "asm", "object", NULL,
};

const char *const *tn_stage_names(void) { return stage_names; }
