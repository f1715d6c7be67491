/* Weights packed while compiling, and first states, as one block of bytes.
 *
 * in:  versions whose main is emitted: which packed weights and large constants each reads; values of raw weights
 * out: the block, and where each of them is in it; what is equal is there once
 * law: where the target's code runs here, a packed weight has the bits that the program in this process has; for other
 *      targets `prepare` is run by code for the least of this machine's kind, so that any machine of it makes the same
 */
#include "compiler/aot.h"

#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "ir/graph.h"
#include "runtime/tensor.h"

/* ---- The block ---- */

/* What is in it so far. */
typedef struct block_part {
    XXH128_hash_t hash;
    uint64_t offset, bytes;
} block_part;

typedef struct block_writer {
    aot_object *o;
    block_part *parts;
    size_t n_parts, capacity;
} block_writer;

static bool grow(aot_object *o, uint64_t bytes) {
    uint64_t needed = AOT_FILE_HEADER + o->entry.block.bytes + bytes;
    if (!array_reserve((void **)&o->block, &o->block_capacity, needed, 1)) return aot_no_memory(o);
    return true;
}

/* Puts bytes into the block, unless they are there. */
static bool add_bytes(block_writer *w, const void *data, uint64_t bytes, uint64_t *offset) {
    aot_object *o = w->o;
    uint64_t end = o->entry.block.bytes, padded = (bytes + AOT_FILE_ALIGNMENT - 1) / AOT_FILE_ALIGNMENT;
    padded *= AOT_FILE_ALIGNMENT;
    XXH128_hash_t hash = XXH3_128bits(data, bytes);
    for (size_t i = 0; i < w->n_parts; i++)
        if (w->parts[i].bytes == bytes && XXH128_isEqual(w->parts[i].hash, hash)) {
            *offset = w->parts[i].offset;
            return true;
        }
    if (!array_reserve((void **)&w->parts, &w->capacity, w->n_parts + 1, sizeof *w->parts)) return aot_no_memory(o);
    if (!grow(o, padded)) return false;
    char *to = o->block + AOT_FILE_HEADER + end;
    if (bytes > 0) memcpy(to, data, bytes);
    memset(to + bytes, 0, padded - bytes);
    w->parts[w->n_parts++] = (block_part){hash, end, bytes};
    *offset = end;
    o->entry.block.bytes += padded;
    return true;
}

/* ---- prepare ---- */

/* The function as a program of this machine, whose inputs are the raw weights. */
static tn_program *compile_prepare(aot_object *o, const aot_compiled *v) {
#if defined(__x86_64__)
    static const char least[] = "x86-64-v2";
#else
    static const char least[] = "aarch64";
#endif
    tn_module *m = tn_function_module(v->compiled.prepare);
    if (!m) {
        aot_no_memory(o);
        return NULL;
    }
    tn_compile_options options = v->options;
    options.debug_info = NULL; /* the text is that of the object */
    options.watch = NULL;
    if (!v->runs_here) options = (tn_compile_options){.target = least, .pool = v->options.pool};
    tn_program *p = tn_compile_module(m, &options);
    if (!p) aot_fail(o, tn_module_error(m)->status, "prepare: %.900s", tn_module_error(m)->message);
    tn_module_free(m);
    return p;
}

/* Runs it; the exec has its outputs. */
static tn_exec *run_prepare(aot_object *o, const aot_compiled *v) {
    const tn_program *raw = v->described;
    tn_program *p = compile_prepare(o, v);
    tn_tensor *inputs = tn_calloc(raw->n_weights + 1u, sizeof *inputs);
    tn_exec *e = p ? tn_exec_new(p, &(tn_exec_options){.pool = v->options.pool}) : NULL;
    bool ok = inputs && e;
    for (uint32_t i = 0; ok && i < raw->n_weights; i++) {
        inputs[i] = tensor_of_info(&raw->weights[i].info, raw->weights[i].data);
        ok = tn_tensor_bytes(&inputs[i]) >= 0;
    }
    if (p && !ok) aot_no_memory(o);
    if (ok && tn_exec_run(e, inputs, (int)raw->n_weights, NULL, 0) != TN_OK)
        ok = aot_fail(o, tn_exec_error(e)->status, "%s", tn_exec_error(e)->message);
    tn_free(inputs);
    tn_program_free(p);
    if (ok) return e;
    tn_exec_free(e);
    return NULL;
}

/* ---- A version's weights ---- */

static bool add_packed(block_writer *w, const tn_program *p, const program_packed *packed, const tn_exec *prepared,
                       size_t constant_bytes, uint64_t *offset) {
    if (packed->kind == PACKED_PREPARED) {
        const tn_tensor *t = tn_exec_output(prepared, (int)packed->index);
        return add_bytes(w, t->data, (uint64_t)tn_tensor_bytes(t), offset);
    }
    if (packed->kind == PACKED_CONSTANT) return add_bytes(w, packed->data, constant_bytes, offset);
    const program_weight *weight = &p->weights[packed->index];
    tn_tensor raw = tensor_of_info(&weight->info, weight->data);
    if (tn_tensor_bytes(&raw) < 0) return aot_no_memory(w->o);
    return add_bytes(w, weight->data, (uint64_t)tn_tensor_bytes(&raw), offset);
}

static bool pack_version(block_writer *w, size_t number) {
    aot_object *o = w->o;
    aot_compiled *v = &o->versions[number];
    const tn_program *p = v->described;
    const emitted_tables *tables = &v->compiled.tables;
    uint64_t *offsets = ARENA_ARRAY(&o->memory, uint64_t, p->n_packed + 1u);
    if (!offsets) return aot_no_memory(o);
    tn_exec *prepared = v->compiled.prepare ? run_prepare(o, v) : NULL;
    bool ok = prepared || !v->compiled.prepare;
    for (uint32_t i = 0, constant = 0; ok && i < p->n_packed; i++) {
        bool is_constant = p->packed[i].kind == PACKED_CONSTANT;
        size_t bytes = is_constant ? tables->constants[constant]->bytes : 0;
        constant += is_constant;
        ok = add_packed(w, p, &p->packed[i], prepared, bytes, &offsets[i]);
    }
    tn_exec_free(prepared);
    o->entry.versions[number].weights = offsets;
    o->entry.versions[number].n_weights = p->n_packed;
    return ok;
}

/* ---- First states ---- */

static const tn_aot_state *find_state(const tn_aot_options *options, const char *name) {
    for (int i = 0; i < options->n_states; i++)
        if (strcmp(options->states[i].name, name) == 0) return &options->states[i];
    return NULL;
}

static bool is_given_twice(const tn_aot_options *options, const tn_aot_state *state) {
    int n = 0;
    for (int i = 0; i < options->n_states; i++) n += strcmp(options->states[i].name, state->name) == 0;
    return n > 1;
}

static bool add_state(block_writer *w, const aot_member *m, const tn_aot_state *s) {
    aot_object *o = w->o;
    aot_initial *initial = &o->entry.initial[o->entry.n_initial];
    char expected[200], got[200];
    tn_tensor want;
    int64_t shape[TN_MAX_RANK];
    for (int i = 0; i < m->type->rank; i++)
        if (!dim_is_const(o->versions[0].compiled.module->dims, m->type->dims[i], &shape[i]))
            return aot_fail(o, TN_ERR_ARGUMENT,
                            "state '%s' is %s: only one whose sizes are known can have first values", m->name,
                            aot_type_text(o, m->type));
    want = tn_tensor_of((tn_dtype)m->type->dtype, NULL, m->type->rank, shape);
    tn_tensor_text(&want, expected, sizeof expected);
    if (strcmp(expected, tn_tensor_text(&s->value, got, sizeof got)) != 0)
        return aot_fail(o, TN_ERR_SHAPE, "first values of state '%s' are %s, but it is %s", m->name, got, expected);
    if (!s->value.data || !tn_tensor_is_contiguous(&s->value))
        return aot_fail(o, TN_ERR_ARGUMENT, "first values of state '%s' are not contiguous data", m->name);
    initial->state_offset = m->place.offset;
    initial->bytes = (uint64_t)tn_tensor_bytes(&want);
    o->entry.n_initial++;
    return add_bytes(w, s->value.data, initial->bytes, &initial->block_offset);
}

static bool add_states(block_writer *w) {
    aot_object *o = w->o;
    if (o->options->n_states == 0) return true;
    if (!o->entry.has[AOT_STATE])
        return aot_fail(o, TN_ERR_ARGUMENT, "first values of states are given, but there is no state");
    o->entry.initial = ARENA_ARRAY(&o->memory, aot_initial, o->n_members + 1);
    if (!o->entry.initial) return aot_no_memory(o);
    for (size_t i = 0; i < o->n_members; i++) {
        const aot_member *m = &o->members[i];
        if (m->place.base != AOT_STATE) continue;
        const tn_aot_state *s = find_state(o->options, m->name);
        if (s && is_given_twice(o->options, s))
            return aot_fail(o, TN_ERR_ARGUMENT, "first values of state '%s' are given twice", m->name);
        if (!s)
            return aot_fail(o, TN_ERR_ARGUMENT, "state '%s' has no first values: all states have some, or none has",
                            m->name);
        if (!add_state(w, m, s)) return false;
    }
    return true;
}

/* ---- All of it ---- */

/* A hash of what tells one object's file from another's: which program, and where what lies. */
static uint64_t layout_hash(const aot_object *o) {
    XXH64_hash_t hash = XXH64(o->name, strlen(o->name), 0);
    for (size_t v = 0; v < o->n_versions; v++) {
        const aot_version *version = &o->entry.versions[v];
        const tn_program *p = o->versions[v].described;
        hash = XXH64(o->versions[v].target, strlen(o->versions[v].target), hash);
        hash = XXH64(version->weights, version->n_weights * sizeof *version->weights, hash);
        for (uint32_t i = 0; i < p->n_weights; i++)
            hash = XXH64(p->weights[i].info.name, strlen(p->weights[i].info.name), hash);
        for (uint32_t i = 0; i < p->n_kernels; i++)
            hash = XXH64(p->kernels[i].class_name, strlen(p->kernels[i].class_name), hash);
    }
    return XXH64(&o->entry.block.bytes, sizeof o->entry.block.bytes, hash);
}

static void write_file_header(aot_object *o) {
    aot_block *block = &o->entry.block;
    const char *data = o->block + AOT_FILE_HEADER;
    block->layout = layout_hash(o);
    aot_file_header header = {.layout = block->layout, .bytes = block->bytes, .checksum = XXH64(data, block->bytes, 0)};
    memcpy(header.magic, AOT_FILE_MAGIC, sizeof header.magic);
    memcpy(o->block, &header, sizeof header);
}

bool aot_pack(aot_object *o) {
    block_writer w = {.o = o};
    bool ok = grow(o, 0);
    for (size_t v = 0; ok && v < o->n_versions; v++) ok = pack_version(&w, v);
    ok = ok && add_states(&w);
    tn_free(w.parts);
    if (!ok) return false;
    o->entry.block.data = o->block + AOT_FILE_HEADER;
    o->entry.block.is_for_object = o->options->form == TN_AOT_OBJECT;
    o->entry.block.is_in_file = o->options->weights_in_file && o->entry.block.bytes > 0;
    if (o->entry.block.is_in_file) write_file_header(o);
    return true;
}
