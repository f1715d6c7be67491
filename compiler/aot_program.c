/* A C program that runs an object on files of raw numbers: what `tenon compile --emit exe` links, and a start for
 * programs of one's own (see aot.h).
 *
 *     NAME [weights=FILE] SIZE=NUMBER... STATE=FILE... INPUT=FILE... SCALAR=NUMBER... OUTPUT=FILE...
 *
 * law: it includes the object's header and libc's, nothing else
 */
#include "compiler/aot_text.h"

static const char helpers[] =
    "\nstatic void stop(const char *what, const char *which) {\n"
    "    fprintf(stderr, \"%s: %s\\n\", which, what);\n"
    "    exit(1);\n"
    "}\n"
    "\n"
    "/* Memory aligned to 64, of zeros. */\n"
    "static void *get_memory(size_t bytes) {\n"
    "    char *memory = bytes < SIZE_MAX - 64 ? calloc(bytes + 64, 1) : NULL;\n"
    "    if (!memory) stop(\"no memory\", \"@\");\n"
    "    return memory + (64 - (uintptr_t)memory % 64);\n"
    "}\n"
    "\n"
    "/* What the argument `name=...` says; NULL: it is not given. */\n"
    "static const char *argument(char **argv, const char *name) {\n"
    "    size_t length = strlen(name);\n"
    "    for (; *argv; argv++)\n"
    "        if (strncmp(*argv, name, length) == 0 && (*argv)[length] == '=') return *argv + length + 1;\n"
    "    return NULL;\n"
    "}\n"
    "\n"
    "static const char *required(char **argv, const char *name) {\n"
    "    const char *text = argument(argv, name);\n"
    "    if (!text) stop(\"is not given\", name);\n"
    "    return text;\n"
    "}\n"
    "\n"
    "/* All of a file, into `data` or memory of its own; `is_optional`: nothing is read where there is none. */\n"
    "static void *read_file(const char *path, void *data, size_t bytes, int is_optional) {\n"
    "    FILE *file = path ? fopen(path, \"rb\") : NULL;\n"
    "    char more;\n"
    "    if (!data) data = get_memory(bytes);\n"
    "    if (!file && is_optional) return data;\n"
    "    if (!file) stop(\"cannot be read\", path);\n"
    "    if (fread(data, 1, bytes, file) != bytes || fread(&more, 1, 1, file) != 0) {\n"
    "        fprintf(stderr, \"%s: has not the %lu bytes of its tensor\\n\", path, (unsigned long)bytes);\n"
    "        exit(1);\n"
    "    }\n"
    "    fclose(file);\n"
    "    return data;\n"
    "}\n"
    "\n"
    "static void write_file(const char *path, const void *data, size_t bytes) {\n"
    "    FILE *file = path ? fopen(path, \"wb\") : NULL;\n"
    "    if (!path) return;\n"
    "    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) stop(\"cannot be written\", path);\n"
    "}\n"
    "\n"
    "/* Arguments are NAME=... with names that there are. */\n"
    "static void check_names(char **argv, const char *const *names) {\n"
    "    for (argv++; *argv; argv++) {\n"
    "        size_t length = strcspn(*argv, \"=\");\n"
    "        const char *const *name = names;\n"
    "        while (*name && (strlen(*name) != length || strncmp(*name, *argv, length) != 0)) name++;\n"
    "        if (!*name || !(*argv)[length]) stop(\"no such argument (without any they are listed)\", *argv);\n"
    "    }\n"
    "}\n"
    "\n"
    "static void check(int code) {\n"
    "    if (code != $_OK) stop(@_message(code), \"@\");\n"
    "}\n";

static const char read_weights[] =
    "\n/* The file of weights, read whole; a program that maps it starts sooner. */\n"
    "static void bind_weights(@_bound *bound, const char *path) {\n"
    "    FILE *file = fopen(path, \"rb\");\n"
    "    long bytes = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;\n"
    "    if (bytes < 0) stop(\"cannot be read\", path);\n"
    "    fclose(file);\n"
    "    check(@_bind_weights(bound, read_file(path, NULL, (size_t)bytes, 0), (size_t)bytes));\n"
    "}\n";

static const char read_real[] = "\nstatic double real(char **argv, const char *name) {\n"
                                "    char *end;\n"
                                "    const char *text = required(argv, name);\n"
                                "    double value = strtod(text, &end);\n"
                                "    if (end == text || *end) stop(\"is no number\", name);\n"
                                "    return value;\n"
                                "}\n";

static const char read_whole[] = "\nstatic long long whole(char **argv, const char *name) {\n"
                                 "    char *end;\n"
                                 "    const char *text = required(argv, name);\n"
                                 "    long long value = strtoll(text, &end, 10);\n"
                                 "    if (end == text || *end) stop(\"is no whole number\", name);\n"
                                 "    return value;\n"
                                 "}\n";

static bool is_real(const aot_member *m) { return m->place.dtype == TN_F32 || m->place.dtype == TN_F64; }

/* What reads numbers, as far as there are any. */
static void print_number_readers(aot_writer *w) {
    bool has_real = false, has_whole = w->e->n_sizes > 0;
    for (size_t i = 0; i < w->o->n_members; i++) {
        const aot_member *m = &w->o->members[i];
        if (m->place.base == AOT_SCALAR) *(is_real(m) ? &has_real : &has_whole) = true;
    }
    if (has_real) print_named(w, read_real);
    if (has_whole) print_named(w, read_whole);
}

/* ---- Usage ---- */

static void print_words(aot_writer *w) {
    const aot_entry *e = w->e;
    if (e->block.is_in_file) PRINT(w, " weights=FILE");
    for (size_t i = 0; i < e->n_sizes; i++) PRINT(w, " %s=NUMBER", w->o->size_names[i]);
    for (size_t i = 0; i < w->o->n_members; i++) {
        const aot_member *m = &w->o->members[i];
        PRINT(w, " %s=%s", m->identifier, m->place.base == AOT_SCALAR ? "NUMBER" : "FILE");
    }
}

/* ---- main ---- */

static const char *struct_of(const aot_member *m) {
    static const char *const names[AOT_BASE_COUNT] = {"inputs", "outputs", "state", ""};
    return names[m->place.base];
}

static void print_bytes(aot_writer *w, const aot_member *m) {
    PRINT(w, "(size_t)(");
    aot_print_dim(w, 0, m->bytes);
    PRINT(w, ")");
}

/* What is read before the run: states, inputs, scalars. */
static void print_read(aot_writer *w, const aot_member *m) {
    aot_base base = m->place.base;
    const char *type = aot_c_type(m->place.dtype), *name = m->identifier, *member_of = struct_of(m);
    if (base == AOT_SCALAR) {
        PRINT(w, "    %s scalar_%s = (%s)%s(argv, \"%s\");\n", type, name, type, is_real(m) ? "real" : "whole", name);
        return;
    }
    if (base == AOT_OUTPUTS) {
        PRINT(w, "    outputs.%s = get_memory(", name);
        print_bytes(w, m);
        PRINT(w, ");\n");
        return;
    }
    const char *asked = base == AOT_STATE ? "argument" : "required", *arrow = base == AOT_STATE ? "->" : ".";
    if (m->place.is_array)
        PRINT(w, "    read_file(%s(argv, \"%s\"), &%s%s%s, ", asked, name, member_of, arrow, name);
    else
        PRINT(w, "    %s%s%s = read_file(%s(argv, \"%s\"), NULL, ", member_of, arrow, name, asked, name);
    print_bytes(w, m);
    PRINT(w, ", %d);\n", base == AOT_STATE);
}

static void print_write(aot_writer *w, const aot_member *m) {
    bool is_state = m->place.base == AOT_STATE;
    if (!is_state && m->place.base != AOT_OUTPUTS) return;
    PRINT(w, "    write_file(argument(argv, \"%s\"), %s%s%s%s, ", m->identifier, m->place.is_array ? "&" : "",
          struct_of(m), is_state ? "->" : ".", m->identifier);
    print_bytes(w, m);
    PRINT(w, ");\n");
}

static void print_call(aot_writer *w) {
    const aot_entry *e = w->e;
    PRINT(w, "    check(%s_%s(", w->name, e->verb);
    if (aot_has_bound(w)) PRINT(w, "&bound, ");
    for (size_t i = 0; i < e->n_sizes; i++) PRINT(w, "size_%s, ", w->o->size_names[i]);
    if (e->has[AOT_STATE]) PRINT(w, "state, ");
    if (e->has[AOT_INPUTS]) PRINT(w, "&inputs, ");
    for (size_t i = 0; i < w->o->n_members; i++)
        if (w->o->members[i].place.base == AOT_SCALAR) PRINT(w, "scalar_%s, ", w->o->members[i].identifier);
    if (e->has[AOT_OUTPUTS]) PRINT(w, "&outputs, ");
    PRINT(w, "arena));\n");
}

static void print_start(aot_writer *w) {
    const aot_entry *e = w->e;
    PRINT(w, "\nint main(int argc, char **argv) {\n    if (argc < 2) {\n        fputs(\"usage: %s", w->name);
    print_words(w);
    PRINT(w, "\\n\", stderr);\n        return 2;\n    }\n    static const char *const names[] = {");
    if (e->block.is_in_file) PRINT(w, "\"weights\", ");
    for (size_t i = 0; i < e->n_sizes; i++) PRINT(w, "\"%s\", ", w->o->size_names[i]);
    for (size_t i = 0; i < w->o->n_members; i++) PRINT(w, "\"%s\", ", w->o->members[i].identifier);
    PRINT(w, "NULL};\n    check_names(argv, names);\n");
    if (aot_has_bound(w)) print_named(w, "    @_bound bound;\n");
    if (e->block.is_in_file)
        PRINT(w, "    bind_weights(&bound, required(argv, \"weights\"));\n");
    else if (e->n_versions > 1)
        print_named(w, "    check(@_bind(&bound));\n");
    for (size_t i = 0; i < e->n_sizes; i++)
        PRINT(w, "    int64_t size_%s = whole(argv, \"%s\");\n", w->o->size_names[i], w->o->size_names[i]);
    if (e->n_sizes > 0) PRINT(w, "    int bad = 0;\n");
    if (e->has[AOT_STATE]) print_named(w, "    @_state *state = get_memory(sizeof *state);\n");
    if (e->n_initial > 0) PRINT(w, "    %s_init(%sstate);\n", w->name, e->block.is_in_file ? "&bound, " : "");
    if (e->has[AOT_INPUTS]) print_named(w, "    @_inputs inputs;\n");
    if (e->has[AOT_OUTPUTS]) print_named(w, "    @_outputs outputs;\n");
}

static void print_arena(aot_writer *w) {
    PRINT(w, "    void *arena = get_memory(");
    if (w->e->n_sizes == 0)
        print_named(w, "$_ARENA_BYTES");
    else {
        print_named(w, "@_arena_bytes(");
        for (size_t i = 0; i < w->e->n_sizes; i++) PRINT(w, "%ssize_%s", i ? ", " : "", w->o->size_names[i]);
        PRINT(w, ")");
    }
    PRINT(w, ");\n");
}

char *aot_program(aot_object *o) {
    aot_writer writer, *w = &writer;
    if (!aot_writer_open(w, o)) return NULL;
    w->size_prefix = "size_"; /* what the program and libc have names for is none of these */
    PRINT(w,
          "/* Runs %s on files of raw numbers; made by Tenon, changes to it are lost when it is made again.\n *\n *    "
          " %s",
          w->name, w->name);
    print_words(w);
    print_named(
        w,
        "\n *\n"
        " * Files have the elements of a tensor one after the other as the processor keeps them. Outputs that are not\n"
        " * given are not written; states are read where there is a file, and written. */\n"
        "#include \"@.h\"\n\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n");
    print_named(w, helpers);
    print_number_readers(w);
    if (w->e->block.is_in_file) print_named(w, read_weights);
    print_start(w);
    for (size_t i = 0; i < o->n_members; i++) print_read(w, &o->members[i]);
    if (w->e->n_sizes > 0) PRINT(w, "    if (bad) stop(\"sizes do not fit\", \"%s\");\n", w->name);
    print_arena(w);
    print_call(w);
    for (size_t i = 0; i < o->n_members; i++) print_write(w, &o->members[i]);
    PRINT(w, "    return 0;\n}\n");
    return aot_writer_close(w);
}
