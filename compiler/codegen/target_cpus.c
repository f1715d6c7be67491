/* Sets of features by name (see target_cpus.h). */
#include "compiler/codegen/target_cpus.h"

#include <stdio.h>
#include <string.h>

#include "compiler/codegen/target.h"
#include "runtime/alloc.h"

typedef struct row {
    architecture architecture;
    const char *name;
    const char *features; /* of a CPU; that a feature brings along */
} row;

static const row features[] = {
#define FEATURE(ARCHITECTURE, name, implies) {ARCHITECTURE_##ARCHITECTURE, name, implies},
#define CPU(ARCHITECTURE, name, features)
#include "compiler/codegen/target_cpus.def"
};

static const row cpus[] = {
#define FEATURE(ARCHITECTURE, name, implies)
#define CPU(ARCHITECTURE, name, features) {ARCHITECTURE_##ARCHITECTURE, name, features},
#include "compiler/codegen/target_cpus.def"
};

enum { FEATURE_COUNT = sizeof features / sizeof *features, CPU_COUNT = sizeof cpus / sizeof *cpus };

/* ---- Names ---- */

/* The row of that architecture and name, or -1. */
static int find_row(const row *rows, int n, architecture a, const char *name, size_t length) {
    for (int i = 0; i < n; i++)
        if (rows[i].architecture == a && strncmp(rows[i].name, name, length) == 0 && !rows[i].name[length]) return i;
    return -1;
}

/* "; known are a, b, c", as far as there is room. */
static void add_names(char *text, size_t capacity, const row *rows, int n, architecture a) {
    const char *before = "; known are ";
    for (int i = 0; i < n; i++) {
        size_t used = strlen(text);
        if (rows[i].architecture != a) continue;
        snprintf(text + used, capacity - used, "%s%s", before, rows[i].name);
        before = ", ";
    }
}

static tn_status unknown(tn_diag *diag, const char *what, const char *name, int length, const row *rows, int n,
                         architecture a) {
    char names[TN_DIAG_MESSAGE_BYTES - 200] = "";
    add_names(names, sizeof names, rows, n, a);
    return target_fail(diag, TN_ERR_ARGUMENT, "unknown %s \"%.*s\"%s", what, length < 60 ? length : 60, name, names);
}

/* ---- Sets ---- */

/* Bits are counted from the architecture's first row. */
static feature_set bit_of(int feature) {
    int first = feature;
    while (first > 0 && features[first - 1].architecture == features[feature].architecture) first--;
    return (feature_set)1 << (feature - first);
}

/* The feature with all that it brings along. */
static feature_set closure(int feature);

static feature_set set_of_names(architecture a, const char *names) {
    feature_set set = 0;
    while (*names) {
        size_t length = strcspn(names, ",");
        int i = find_row(features, FEATURE_COUNT, a, names, length);
        if (i >= 0) set |= closure(i);
        names += length;
        names += *names == ',';
    }
    return set;
}

static feature_set closure(int feature) {
    return bit_of(feature) | set_of_names(features[feature].architecture, features[feature].features);
}

static void remove_feature(feature_set *set, int feature) {
    for (int i = 0; i < FEATURE_COUNT; i++)
        if (features[i].architecture == features[feature].architecture && closure(i) & bit_of(feature))
            *set &= ~bit_of(i);
}

tn_status cpu_add_features(architecture a, const char *cpu, feature_set *set, tn_diag *diag) {
    int i = find_row(cpus, CPU_COUNT, a, cpu, strlen(cpu));
    if (i < 0) return unknown(diag, "cpu", cpu, (int)strlen(cpu), cpus, CPU_COUNT, a);
    *set |= set_of_names(a, cpus[i].features);
    return TN_OK;
}

tn_status features_apply(architecture a, const char *list, feature_set *set, tn_diag *diag) {
    while (*list) {
        size_t length = strcspn(list, ",");
        if (*list != '+' && *list != '-')
            return target_fail(diag, TN_ERR_ARGUMENT, "feature \"%.*s\" needs a + or - before it",
                               length < 60 ? (int)length : 60, list);
        int i = find_row(features, FEATURE_COUNT, a, list + 1, length - 1);
        if (i < 0) return unknown(diag, "feature", list + 1, (int)length - 1, features, FEATURE_COUNT, a);
        if (*list == '+')
            *set |= closure(i);
        else
            remove_feature(set, i);
        list += length;
        list += *list == ',';
    }
    return TN_OK;
}

feature_set features_known(architecture a, const char *list) {
    feature_set set = 0;
    while (*list) {
        size_t length = strcspn(list, ",");
        int i = *list == '+' ? find_row(features, FEATURE_COUNT, a, list + 1, length - 1) : -1;
        if (i >= 0) set |= bit_of(i);
        list += length;
        list += *list == ',';
    }
    return set;
}

char *features_text(architecture a, feature_set set) {
    size_t bytes = 1, used = 0;
    for (int i = 0; i < FEATURE_COUNT; i++) bytes += strlen(features[i].name) + 2;
    char *text = tn_calloc(bytes, 1);
    for (int i = 0; text && i < FEATURE_COUNT; i++)
        if (features[i].architecture == a && set & bit_of(i))
            used += (size_t)snprintf(text + used, bytes - used, "%s+%s", used ? "," : "", features[i].name);
    return text;
}

bool features_have(architecture a, feature_set set, const char *names) { return !(set_of_names(a, names) & ~set); }
