/* What went wrong in a run: status words and NaN.
 *
 * in:  the workers' status words, after the run and, where the program looks for NaN, after each kernel
 * out: the diagnostic
 * law: the first kernel in time with an error is the one that is reported, and in it the first site in program order,
 *      whatever the threads did
 *
 * A hint (TN_STATUS_HINT) tells of a NaN in a value that only branches of selects read. The first of each group is kept:
 * when a select of that group then takes a NaN, the hint is where it began.
 */
#include "runtime/exec.h"

#include "runtime/nan.h"

/* What a failed site says: "mlp: gather at mlp.c:14: <complaint> (element 37)". */
static const struct {
    tn_status status;
    const char *complaint;
} site_kinds[SITE_KIND_COUNT] = {
    [SITE_INDEX] = {TN_ERR_INDEX, "an index is out of range"},
    [SITE_ASSERT] = {TN_ERR_ASSERT, "assertion failed"},
    [SITE_CUSTOM] = {TN_ERR_CUSTOM, "the callback returned an error"},
    [SITE_NAN] = {TN_ERR_NAN, "NaN"},
    [SITE_NAN_HINT] = {TN_ERR_NAN, "NaN"},
};

/* ---- Words ------------------------------------------------------------------------------------------------- */

static uint64_t number_in(uint64_t word) { return (word & ~TN_STATUS_HINT) >> TN_STATUS_INDEX_BITS; }
static uint64_t element_in(uint64_t word) { return word & ((UINT64_C(1) << TN_STATUS_INDEX_BITS) - 1); }

int32_t program_nan_groups(const tn_program *p, bool *looks_for_nan) {
    int32_t n = 0;
    *looks_for_nan = p->n_nan_inputs > 0;
    for (uint32_t i = 0; i < p->n_sites; i++) {
        const program_site *s = &p->sites[i];
        if (s->kind != SITE_NAN && s->kind != SITE_NAN_HINT) continue;
        *looks_for_nan = true;
        if (s->group >= n) n = s->group + 1;
    }
    return n;
}

static void clear_words(tn_exec *e) {
    for (int32_t w = 0; w < e->workers; w++) e->status[(size_t)w * STATUS_STRIDE] = TN_STATUS_CLEAR;
}

static uint64_t least_word(const tn_exec *e) {
    uint64_t least = TN_STATUS_CLEAR;
    for (int32_t w = 0; w < e->workers; w++)
        if (e->status[(size_t)w * STATUS_STRIDE] < least) least = e->status[(size_t)w * STATUS_STRIDE];
    return least;
}

void exec_clear_status(tn_exec *e) {
    clear_words(e);
    e->first_word = TN_STATUS_CLEAR;
    for (int32_t i = 0; i < e->n_groups; i++) e->hints[i] = TN_STATUS_CLEAR;
}

void exec_take_status(tn_exec *e) {
    uint64_t word = least_word(e);
    if (word == TN_STATUS_CLEAR) return;
    clear_words(e);
    if ((word & TN_STATUS_HINT) == 0) {
        if (e->first_word == TN_STATUS_CLEAR) e->first_word = word;
        return;
    }
    uint64_t number = number_in(word);
    int32_t group = number < e->program->n_sites ? e->program->sites[number].group : -1;
    if (group >= 0 && e->hints[group] == TN_STATUS_CLEAR) e->hints[group] = word;
}

/* ---- Messages ------------------------------------------------------------------------------------------------ */

/* "log at gpt.c:88 (in the gradient of ...)". */
static void add_site(line *t, const program_site *site) {
    bool has_location = site->location != NULL && *site->location != '\0';
    line_add(t, "%s%s%s", site->op, has_location ? " at " : "", has_location ? site->location : "");
    if (site->gradient_of != NULL) line_add(t, " (in the gradient of %s)", site->gradient_of);
}

static void add_nan(line *t, const program_site *site, uint64_t element) {
    add_site(t, site);
    line_add(t, ": the first NaN is");
    nan_add_element(t, site->type, element);
    line_add(t, ", in kernel %s", site->kernel);
}

static tn_status report_nan(tn_exec *e, const program_site *site, uint64_t element) {
    const tn_program *p = e->program;
    uint64_t hint = site->group >= 0 ? e->hints[site->group] : TN_STATUS_CLEAR;
    diag_fail(&e->error, TN_ERR_NAN, "%s: ", p->name);
    line t = {e->error.message, sizeof e->error.message, 0};
    line_add(&t, "%s: ", p->name);
    if (hint == TN_STATUS_CLEAR) {
        add_nan(&t, site, element);
        return TN_ERR_NAN;
    }
    add_nan(&t, &p->sites[number_in(hint)], element_in(hint));
    line_add(&t, "; ");
    add_site(&t, site);
    line_add(&t, " takes it,");
    nan_add_element(&t, site->type, element);
    return TN_ERR_NAN;
}

tn_status exec_decode_status(tn_exec *e) {
    const tn_program *p = e->program;
    uint64_t word = e->first_word != TN_STATUS_CLEAR ? e->first_word : least_word(e);
    if ((word & TN_STATUS_HINT) != 0) return TN_OK; /* or clear */
    uint64_t number = number_in(word), element = element_in(word);
    if (number >= p->n_sites)
        return diag_fail(&e->error, TN_ERR_INTERNAL, "%s: unknown site %llu failed", p->name,
                         (unsigned long long)number);
    const program_site *site = &p->sites[number];
    if (site->kind == SITE_NAN || site->kind == SITE_NAN_HINT) return report_nan(e, site, element);
    return diag_fail(&e->error, site_kinds[site->kind].status, "%s: %s%s%s: %s%s%s (element %llu)", p->name, site->op,
                     site->location ? " at " : "", site->location ? site->location : "",
                     site_kinds[site->kind].complaint, site->message ? ": " : "", site->message ? site->message : "",
                     (unsigned long long)element);
}

/* ---- Before the run -------------------------------------------------------------------------------------------- */

tn_status check_for_nan(const tn_program *p, const char *role, const char *name, const tn_tensor *t, tn_diag *diag) {
    int64_t at = nan_find_tensor(t);
    if (at < 0) return TN_OK;
    char type[256], text[512] = "";
    line element = {text, sizeof text, 0};
    nan_add_element(&element, tn_tensor_text(t, type, sizeof type), (uint64_t)at);
    return diag_fail(diag, TN_ERR_NAN, "%s: %s '%s' has a NaN%s", p->name, role, name, text);
}

tn_status exec_check_inputs(tn_exec *e) {
    const tn_program *p = e->program;
    for (uint32_t i = 0; i < p->n_nan_inputs; i++) {
        uint32_t number = p->nan_inputs[i];
        const tn_tensor *given = &e->inputs[number];
        tn_tensor t = tn_tensor_of(given->dtype, e->input_pointers[number], given->rank, given->shape);
        tn_status status = check_for_nan(p, "input", p->inputs[number].name, &t, &e->error);
        if (status != TN_OK) return status;
    }
    return TN_OK;
}
