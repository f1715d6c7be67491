/* The table of figures, and the same as one line of JSON. */
#include "benchmarks/micro/micro.h"

#include <string.h>

enum { MOST_FIGURES = 512 };

static struct {
    figure figures[MOST_FIGURES];
    int n, n_gates, n_missed;
} table;

static const char *const limit_names[LIMIT_COUNT] = {"", "FMA", "read", "read+write", "streamed"};

static double share_of(const figure *f) { return f->of ? f->value / bench.limits[f->of] : 0; }
static bool has_gate(const figure *f) { return f->gate_share > 0 || f->gate_ratio > 0; }

static bool is_met(const figure *f) {
    return f->gate_share > 0 ? share_of(f) >= f->gate_share : f->value >= f->gate_ratio * f->peer;
}

static void gate_text(const figure *f, char *text, size_t bytes) {
    if (!has_gate(f))
        snprintf(text, bytes, "-");
    else if (f->gate_share > 0)
        snprintf(text, bytes, ">= %.0f %% %s", 100 * f->gate_share, is_met(f) ? "met" : "MISSED");
    else
        snprintf(text, bytes, ">= %.1f x %s", f->gate_ratio, is_met(f) ? "met" : "MISSED");
}

void write_heading(void) {
    printf("%-10s %-42s %9s %-8s %12s %16s  %-14s %s\n", "group", "kernel", "rate", "", "time", "share of limit",
           "gate", "beside");
}

void record(figure f) {
    char share[32] = "-", seconds[32] = "-", gate[32];
    if (f.of) snprintf(share, sizeof share, "%.1f %% %s", 100 * share_of(&f), limit_names[f.of]);
    if (f.seconds > 0) snprintf(seconds, sizeof seconds, "%.3f ms", f.seconds * 1e3);
    gate_text(&f, gate, sizeof gate);
    printf("%-10s %-42s %9.1f %-8s %12s %16s  %-14s", f.group, f.name, f.value, f.unit, seconds, share, gate);
    if (f.peer > 0) printf(" %s %.1f, ratio %.2f", f.peer_name, f.peer, f.value / f.peer);
    printf("\n");
    fflush(stdout);
    table.n_gates += has_gate(&f);
    table.n_missed += has_gate(&f) && !is_met(&f);
    if (table.n < MOST_FIGURES) table.figures[table.n++] = f;
}

static void write_figure(FILE *out, const figure *f) {
    fprintf(out, "{\"group\": \"%s\", \"name\": \"%s\", \"unit\": \"%s\", \"value\": %.2f, \"ms\": %.4f", f->group,
            f->name, f->unit, f->value, f->seconds * 1e3);
    fprintf(out, ", \"share\": %.3f, \"of\": \"%s\"", share_of(f), limit_names[f->of]);
    fprintf(out, ", \"peer\": \"%s\", \"peer_value\": %.2f", f->peer > 0 ? f->peer_name : "", f->peer);
    if (has_gate(f))
        fprintf(out, ", \"gate\": %.3f, \"gate_of\": \"%s\", \"met\": %s",
                f->gate_share > 0 ? f->gate_share : f->gate_ratio, f->gate_share > 0 ? "share" : "peer",
                is_met(f) ? "true" : "false");
    fprintf(out, "}");
}

int write_json(void) {
    printf("%d of %d gates met\n", table.n_gates - table.n_missed, table.n_gates);
    FILE *out = bench.options.json_path ? fopen(bench.options.json_path, "w") : stdout;
    if (!out) {
        perror(bench.options.json_path);
        return 1;
    }
    fprintf(out, "{\"threads\": %d, \"figures\": [", bench.options.threads);
    for (int i = 0; i < table.n; i++) {
        if (i) fprintf(out, ", ");
        write_figure(out, &table.figures[i]);
    }
    fprintf(out, "]}\n");
    return out != stdout && fclose(out) != 0;
}
