/* The header that declares an object's entries (see aot.h).
 *
 * law: it is C99 and C++ without warnings, stands alone, and says the same as codegen/aot_entry.h has code for
 */
#include "compiler/aot_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Text of the model's in a comment: on one line, and nothing in it ends the comment. */
static void print_quoted(aot_writer *w, const char *text) {
    for (const char *c = text; *c; c++) {
        bool is_plain = (unsigned char)*c >= ' ' && *c != 0x7f && !(c[0] == '*' && c[1] == '/') &&
                        !(c[0] == '/' && c[1] == '*') && *c != '\\' && *c != '?';
        text_add_n(&w->out, is_plain ? c : "_", 1);
    }
}

/* ---- Opening comment ---- */

static void print_member_lines(aot_writer *w, aot_base base, const char *title) {
    for (size_t i = 0; i < w->o->n_members; i++) {
        const aot_member *m = &w->o->members[i];
        if (m->place.base != base) continue;
        PRINT(w, " *   %-9s %s: ", title, m->identifier);
        print_quoted(w, aot_type_text(w->o, m->type));
        if (strcmp(m->name, m->identifier) != 0) {
            PRINT(w, ", in the model \"");
            print_quoted(w, m->name);
            PRINT(w, "\"");
        }
        PRINT(w, "\n");
        title = "";
    }
}

static void print_sizes(aot_writer *w) {
    const tn_program *p = w->o->versions[0].described;
    for (uint32_t i = 0; i < p->n_symbols; i++) {
        const tn_symbol_info *s = &p->symbols[i];
        PRINT(w, " *   %-9s %s", i ? "" : "sizes", w->o->size_names[i]);
        if (strcmp(s->name, w->o->size_names[i]) != 0) {
            PRINT(w, " (in the model \"");
            print_quoted(w, s->name);
            PRINT(w, "\")");
        }
        PRINT(w, ": at least %" PRId64, s->lower);
        if (s->upper < INT64_MAX) PRINT(w, ", at most %" PRId64, s->upper);
        if (s->divisor > 1) PRINT(w, ", a multiple of %" PRId64, s->divisor);
        PRINT(w, "\n");
    }
}

/* The largest of all versions. */
static int64_t most_bytes(const aot_writer *w, bool of_scratch) {
    int64_t most = 0;
    for (size_t v = 0; v < w->e->n_versions; v++) {
        int64_t bytes = of_scratch ? w->e->versions[v].scratch_bytes : w->e->versions[v].arena_bytes;
        if (bytes > most) most = bytes;
    }
    return most;
}

static void print_opening(aot_writer *w) {
    aot_object *o = w->o;
    char text[400];
    tn_version_text(text, sizeof text);
    text[strcspn(text, ",")] = '\0';
    PRINT(w, "/* %s: made by %s; changes to it are lost when it is made again.\n *\n *   model     ", w->name, text);
    print_quoted(w, o->model);
    if (o->options->source) {
        PRINT(w, ", from ");
        print_quoted(w, o->options->source);
    }
    PRINT(w, "\n *   target   ");
    for (size_t v = 0; v < o->n_versions; v++) PRINT(w, "%s %s", v ? "," : "", o->versions[v].target);
    PRINT(w, "\n");
    print_member_lines(w, AOT_STATE, "state");
    print_member_lines(w, AOT_INPUTS, "inputs");
    print_member_lines(w, AOT_SCALAR, "scalars");
    print_member_lines(w, AOT_OUTPUTS, "outputs");
    print_sizes(w);
    if (o->flops != DIM_INVALID) {
        dim_print(o->module->dims, o->flops, text, sizeof text);
        PRINT(w, " *   work      ");
        print_quoted(w, text);
        PRINT(w, " floating-point operations of products a run\n");
    }
    if (w->e->n_sizes == 0)
        PRINT(w, " *   memory    %" PRId64 " bytes of arena with one worker, %" PRIu64 " of weights%s\n",
              most_bytes(w, false) + most_bytes(w, true) + AOT_STATUS_BYTES, w->e->block.bytes,
              w->e->block.is_in_file ? ", in a file of their own" : ", in the object");
    else
        PRINT(w, " *   memory    %s_arena_bytes tells the arena's, %" PRIu64 " bytes of weights%s\n", w->name,
              w->e->block.bytes, w->e->block.is_in_file ? ", in a file of their own" : ", in the object");
    PRINT(w, " *   needs     %s\n", !o->needs ? "at most memcpy, memmove, memset" : *o->needs ? o->needs : "nothing");
    PRINT(w, " *\n"
             " * Tensors are contiguous, the last axis lies closest. Everything is the caller's: nothing is allocated, "
             "kept\n"
             " * or freed, and several threads may call at a time, each with an arena");
    PRINT(w, w->e->has[AOT_STATE] ? " and a state" : "");
    PRINT(w, " of its own. Outputs may not\n * overlap each other, inputs or the arena. */\n");
}

/* ---- Structs ---- */

static void print_array_member(aot_writer *w, const aot_member *m) {
    PRINT(w, "    %s %s", aot_c_type(m->place.dtype), m->identifier);
    for (int i = 0; i < m->type->rank; i++) {
        int64_t size = 0;
        dim_is_const(w->o->versions[0].compiled.module->dims, m->type->dims[i], &size);
        PRINT(w, "[%" PRId64 "]", size);
    }
    PRINT(w, ";");
}

static void print_struct(aot_writer *w, aot_base base, const char *word, const char *doc, bool is_const) {
    if (!w->e->has[base]) return;
    PRINT(w, "\n/* %s */\ntypedef struct %s_%s {\n", doc, w->name, word);
    for (size_t i = 0; i < w->o->n_members; i++) {
        const aot_member *m = &w->o->members[i];
        if (m->place.base != base) continue;
        if (m->place.is_array)
            print_array_member(w, m);
        else
            PRINT(w, "    %s%s *%s;", is_const ? "const " : "", aot_c_type(m->place.dtype), m->identifier);
        PRINT(w, " /* ");
        print_quoted(w, aot_type_text(w->o, m->type));
        PRINT(w, " */\n");
    }
    PRINT(w, "} %s_%s;\n", w->name, word);
}

static void print_structs(aot_writer *w) {
    print_struct(w, AOT_STATE, "state", "What a run reads and changes, kept by the caller between runs.", false);
    print_struct(w, AOT_INPUTS, "inputs", "Tensors that a run reads.", true);
    print_struct(w, AOT_OUTPUTS, "outputs", "Where a run writes its results.", false);
    if (aot_has_bound(w))
        print_named(w, "\n/* What binding finds out, for all runs that follow. */\n"
                       "typedef struct @_bound {\n"
                       "    const void *weights;\n"
                       "    int32_t version; /* of the code: number of a target of the list above, from 0 */\n"
                       "} @_bound;\n");
    print_named(
        w, "\n/* Threads to share the work. parallel_for calls body(arg, chunk, worker) once for each chunk from 0 to\n"
           " * chunks - 1, in any order, with a worker from 0 to workers - 1 that no other call has at the same time,\n"
           " * and returns when all are done. The results' bits do not depend on it. */\n"
           "typedef struct @_threads {\n"
           "    void *context;\n"
           "    void (*parallel_for)(void *context, int64_t chunks,\n"
           "                         void (*body)(void *arg, int64_t chunk, int32_t worker), void *arg);\n"
           "    int32_t workers;\n"
           "} @_threads;\n");
}

/* ---- Arena ---- */

static void print_known_arena(aot_writer *w) {
    PRINT(w,
          "\n/* Bytes of the arena, which must be aligned to 64: with one worker, and with several. */\n"
          "#define %s_ARENA_BYTES %" PRId64 "\n"
          "#define %s_ARENA_BYTES_OF(workers) (%" PRId64 " + (workers) * %" PRId64 ")\n",
          w->upper, most_bytes(w, false) + most_bytes(w, true) + AOT_STATUS_BYTES, w->upper, most_bytes(w, false),
          most_bytes(w, true) + AOT_STATUS_BYTES);
}

static void print_size_arguments(aot_writer *w, const char *type) {
    for (size_t i = 0; i < w->e->n_sizes; i++) PRINT(w, "%s%s%s", i ? ", " : "", type, w->o->size_names[i]);
}

static const char arithmetic[] = "\n/* Arithmetic of @_arena_bytes; *bad becomes 1 where a result does not fit. */\n"
                                 "static inline int64_t @_add(int64_t a, int64_t b, int *bad) {\n"
                                 "    if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b) {\n"
                                 "        *bad = 1;\n"
                                 "        return 0;\n"
                                 "    }\n"
                                 "    return a + b;\n"
                                 "}\n"
                                 "static inline int64_t @_mul(int64_t a, int64_t b, int *bad) {\n"
                                 "    if (a > 0 ? (b > 0 ? a > INT64_MAX / b : b < INT64_MIN / a)\n"
                                 "              : (b > 0 ? a < INT64_MIN / b : a != 0 && b < INT64_MAX / a)) {\n"
                                 "        *bad = 1;\n"
                                 "        return 0;\n"
                                 "    }\n"
                                 "    return a * b;\n"
                                 "}\n"
                                 "static inline int64_t @_floordiv(int64_t a, int64_t b, int *bad) {\n"
                                 "    if (b <= 0) {\n"
                                 "        *bad = 1;\n"
                                 "        return 0;\n"
                                 "    }\n"
                                 "    return a / b - (a % b < 0);\n"
                                 "}\n"
                                 "static inline int64_t @_min(int64_t a, int64_t b, int *bad) {\n"
                                 "    (void)bad;\n"
                                 "    return a < b ? a : b;\n"
                                 "}\n"
                                 "static inline int64_t @_max(int64_t a, int64_t b, int *bad) {\n"
                                 "    (void)bad;\n"
                                 "    return a > b ? a : b;\n"
                                 "}\n";

/* The largest of all versions. */
static void print_most(aot_writer *w, const char *what, bool of_scratch) {
    PRINT(w, "    int64_t %s = ", what);
    for (size_t v = 1; v < w->e->n_versions; v++) print_named(w, "@_max(");
    for (size_t v = 0; v < w->e->n_versions; v++) {
        const compilation *c = &w->o->versions[v].compiled;
        const function_plan *plan = plan_of(&c->plan, c->main);
        if (v > 0) PRINT(w, ",\n        ");
        aot_print_dim(w, v, of_scratch ? plan->scratch_bytes : plan->arena_bytes);
        if (v > 0) PRINT(w, ", &bad)");
    }
    PRINT(w, ";\n");
}

static void print_arena_formula(aot_writer *w) {
    print_named(w, arithmetic);
    print_named(
        w,
        "\n/* Bytes of the arena, which must be aligned to 64, with so many workers, and with one. SIZE_MAX: it does\n"
        " * not fit, or a size is below 0. */\n"
        "static inline size_t @_arena_bytes_of(");
    print_size_arguments(w, "int64_t ");
    PRINT(w, ", int64_t workers) {\n    int bad = workers < 1");
    for (size_t i = 0; i < w->e->n_sizes; i++) PRINT(w, " || %s < 0", w->o->size_names[i]);
    PRINT(w, ";\n");
    print_most(w, "shared", false);
    print_most(w, "own", true);
    PRINT(w, "    int64_t bytes = %s_add(shared, %s_mul(%s_add(own, %d, &bad), workers, &bad), &bad);\n", w->name,
          w->name, w->name, AOT_STATUS_BYTES);
    print_named(w, "    if (bad || bytes < 0 || $_CAST(uint64_t, bytes) >= SIZE_MAX) return SIZE_MAX;\n"
                   "    return $_CAST(size_t, bytes);\n"
                   "}\n"
                   "static inline size_t @_arena_bytes(");
    print_size_arguments(w, "int64_t ");
    print_named(w, ") { return @_arena_bytes_of(");
    print_size_arguments(w, "");
    PRINT(w, ", 1); }\n");
}

/* ---- Functions ---- */

static void print_codes(aot_writer *w) {
    static const struct {
        const char *name;
        aot_kind kind;
        const char *doc;
    } kinds[] = {
        {"ERR_POINTER", AOT_ERR_POINTER, "a pointer is NULL or not aligned to what it points to"},
        {"ERR_SIZE", AOT_ERR_SIZE, "a size is not allowed, or sizes do not fit together"},
        {"ERR_WEIGHTS", AOT_ERR_WEIGHTS, "weights, or the code for this CPU, are not to be had"},
        {"ERR_INDEX", AOT_ERR_INDEX, "an index was out of range; outputs are written with the nearest that is not"},
        {"ERR_ASSERT", AOT_ERR_ASSERT, "an assertion of the model failed; outputs are written"},
        {"ERR_NAN", AOT_ERR_NAN, "what was computed has a NaN (--nan-check); outputs are written"},
    };
    print_named(
        w, "\n/* What functions return: 0, or a code whose low 8 bits are one of these; @_message has the words. With\n"
           " * the first three nothing was written. */\n"
           "enum {\n"
           "    $_OK = 0,\n");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        PRINT(w, "    %s_%s = %d, /* %s */\n", w->upper, kinds[i].name, kinds[i].kind, kinds[i].doc);
    PRINT(w, "    %s_ERR_MASK = %d\n};\n", w->upper, (1 << AOT_KIND_BITS) - 1);
    print_named(w, "\n/* Why a function returned that code; never NULL, the object's own. */\n"
                   "const char *@_message(int code);\n");
}

static void print_bind(aot_writer *w) {
    if (w->e->block.is_in_file)
        print_named(
            w,
            "\n/* Takes the file of weights, which lies at `data`, aligned to 64 as mapped files are; checks that it "
            "is\n"
            " * this object's, whole and undamaged, and fills *bound. The file must stay while *bound is used; it is\n"
            " * only read. */\n"
            "int @_bind_weights(@_bound *bound, const void *data, size_t bytes);\n");
    else if (w->e->n_versions > 1)
        print_named(w, "\n/* Asks the CPU which version of the code it runs, and fills *bound. */\n"
                       "int @_bind(@_bound *bound);\n");
    if (w->e->n_initial == 0) return;
    print_named(w, "\n/* Fills the state with its first values. */\nvoid @_init(");
    if (w->e->block.is_in_file) print_named(w, "const @_bound *bound, ");
    print_named(w, "@_state *state);\n");
}

static void print_arguments(aot_writer *w) {
    if (aot_has_bound(w)) print_named(w, "const @_bound *bound, ");
    print_size_arguments(w, "int64_t ");
    if (w->e->n_sizes > 0) PRINT(w, ", ");
    if (w->e->has[AOT_STATE]) print_named(w, "@_state *state, ");
    if (w->e->has[AOT_INPUTS]) print_named(w, "const @_inputs *inputs, ");
    for (size_t i = 0; i < w->o->n_members; i++) {
        const aot_member *m = &w->o->members[i];
        if (m->place.base == AOT_SCALAR) PRINT(w, "%s %s, ", aot_c_type(m->place.dtype), m->identifier);
    }
    if (w->e->has[AOT_OUTPUTS]) print_named(w, "const @_outputs *outputs, ");
    PRINT(w, "void *arena");
}

static void print_run(aot_writer *w) {
    print_named(w, "\n/* Runs the model: on the calling thread, or on threads of the caller's, NULL: none. */\n");
    PRINT(w, "int %s_%s(", w->name, w->e->verb);
    print_arguments(w);
    PRINT(w, ");\nint %s_%s_threads(", w->name, w->e->verb);
    print_arguments(w);
    print_named(w, ", const @_threads *threads);\n");
}

/* ---- All of it ---- */

char *aot_header(aot_object *o) {
    aot_writer w;
    if (!aot_writer_open(&w, o)) return NULL;
    print_opening(&w);
    print_named(&w, "#ifndef $_H\n#define $_H\n\n"
                    "#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n\n"
                    "#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    if (w.e->n_sizes > 0)
        print_named(&w, "\n#ifdef __cplusplus\n"
                        "#define $_CAST(type, value) static_cast<type>(value)\n"
                        "#else\n"
                        "#define $_CAST(type, value) ((type)(value))\n"
                        "#endif\n");
    print_structs(&w);
    if (w.e->n_sizes == 0)
        print_known_arena(&w);
    else
        print_arena_formula(&w);
    print_codes(&w);
    print_bind(&w);
    print_run(&w);
    PRINT(&w, "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
    return aot_writer_close(&w);
}
