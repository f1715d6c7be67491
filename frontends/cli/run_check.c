/* Outputs of a run compared with what they should be: the interpreter's, or those of files.
 *
 * in:  outputs of compiled code; the interpreter's with the sum of absolute terms of each element, or a tensor from a file
 * out: the largest difference of each output, and an error for those where it is past the tolerance
 * law: what is compared with the interpreter is compared by what rounding can do, in parts of the sum of absolute terms;
 *      what is compared with a file, of which no more is known, in parts of the output's largest element
 */
#include "frontends/cli/run_check.h"

#include "ir/dtype.h"
#include "runtime/alloc.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What a compiled result may differ by from the interpreter's, and from a file unless --tolerance says else. */
static const double CHECK_SCALED = 1e-5, EXPECT_TOLERANCE = 1e-4;

typedef struct difference {
    double worst, scaled; /* absolute; in parts of the scale */
    int64_t at;           /* the element that is furthest off, or whose NaN or infinity the other has not */
    bool same_specials;   /* NaNs and infinities */
} difference;

/* What an element's difference is told in parts of. */
static double scale_of(const eval_tensor *want, int64_t k, double greatest) {
    return want->magnitude ? eval_trusted_magnitude(want->magnitude[k], greatest) : greatest;
}

/* Both have the same shape. */
static difference difference_of(const eval_tensor *got, const eval_tensor *want) {
    difference d = {.same_specials = true};
    double greatest = eval_greatest(want);
    for (int64_t k = 0; k < want->n; k++) {
        double x = eval_load_number(got, k), y = eval_load_number(want, k), apart = fabs(x - y);
        if (isnan(x) != isnan(y) || (isinf(y) && x != y)) {
            if (d.same_specials) d.at = k;
            d.same_specials = false;
        }
        if (isnan(apart) || apart == 0) continue;
        double scaled = apart / fmax(scale_of(want, k, greatest), 1e-30);
        d.worst = fmax(d.worst, apart);
        if (scaled > d.scaled && d.same_specials) d.at = k;
        d.scaled = fmax(d.scaled, scaled);
    }
    return d;
}

/* ---- Telling ---- */

/* What outputs are compared with, in words. */
typedef struct expectation {
    const char *whose, *parts;
    double tolerance;
} expectation;

/* f16 and bf16 round a thousand times as coarsely; the files' tolerance is the user's to choose. */
static bool is_within(const difference *d, const expectation *e, tn_dtype dtype) {
    return d->same_specials && (dtype_is_float(dtype) ? d->scaled <= e->tolerance : d->worst == 0);
}

static int compare_output(const session *s, const char *name, const eval_tensor *got, const eval_tensor *want,
                          const expectation *e, json_t *checks) {
    difference d = difference_of(got, want);
    bool ok = is_within(&d, e, want->dtype);
    if (checks)
        json_array_append_new(checks, json_pack("{s:s, s:f, s:f, s:b}", "name", name, "largest_difference", d.worst,
                                                "scaled_difference", d.scaled, "within_tolerance", ok));
    else
        printf("%s: largest difference %.3g, %.3g of %s%s\n", name, d.worst, d.scaled, e->parts,
               ok ? "" : "  TOO LARGE");
    if (ok) return EXIT_DONE;
    char index[200];
    return report_text(s->path, "output %s differs from %s by more than the tolerance: element %s is %.9g, not %.9g",
                       name, e->whose, eval_index_text(want, d.at, index, sizeof index), eval_load_number(got, d.at),
                       eval_load_number(want, d.at));
}

/* ---- The interpreter's ---- */

int check_interpreted(const session *s, json_t *checks) {
    run_data reference = s->data;
    tn_diag diag = {.status = TN_ERR_MEMORY, .message = "out of memory"};
    reference.outputs = tn_calloc((size_t)s->data.n_outputs + 1, sizeof *reference.outputs);
    bool ok = reference.outputs && run_data_interpret(&reference, true, &diag) == TN_OK;
    int status = ok ? EXIT_DONE : report(s->path, &diag);
    for (int i = 0; ok && i < reference.n_outputs; i++) {
        tn_dtype dtype = reference.outputs[i].dtype;
        bool is_coarse = dtype == TN_F16 || dtype == TN_BF16;
        expectation e = {"the interpreter's", "the sum of absolute terms",
                         is_coarse ? CHECK_SCALED * 1e3 : CHECK_SCALED};
        int one =
            compare_output(s, reference.main->results[i].name, &s->data.outputs[i], &reference.outputs[i], &e, checks);
        if (one) status = one;
    }
    run_data_free_outputs(&reference);
    tn_free(reference.outputs);
    return status;
}

/* ---- Files ---- */

static const char *output_name(const run_data *d, int i) { return d->main->results[i].name; }

static int expect(const session *s, const char *item, json_t *checks) {
    const char *file = NULL;
    int i = run_data_find(&s->data, item, output_name, s->data.n_outputs, &file);
    if (i < 0) return run_data_complain(&s->data, s->path, "--expect", item, "output", output_name, s->data.n_outputs);
    eval_tensor want = {0};
    int status = read_input_file(file, s->a, &want);
    const eval_tensor *got = &s->data.outputs[i];
    const char *name = s->data.main->results[i].name;
    expectation e = {file, "the largest element", REAL_OF(s->a, tolerance, EXPECT_TOLERANCE)};
    if (!status && eval_same_type(got, &want))
        status = compare_output(s, name, got, &want, &e, checks);
    else if (!status) {
        char ours[200], theirs[200];
        tn_tensor a = tn_tensor_of(got->dtype, NULL, got->rank, got->dims);
        tn_tensor b = tn_tensor_of(want.dtype, NULL, want.rank, want.dims);
        status = report_text(s->path, "output %s is %s, in %s it is %s", name, tn_tensor_text(&a, ours, sizeof ours),
                             file, tn_tensor_text(&b, theirs, sizeof theirs));
    }
    eval_tensor_free(&want);
    return status;
}

int check_expected(const session *s, json_t *checks) {
    const option_list *items = LIST_OF(s->a, expect);
    int status = EXIT_DONE;
    for (int i = 0; i < items->n; i++) {
        int one = expect(s, items->items[i], checks);
        if (one) status = one;
    }
    return status;
}
