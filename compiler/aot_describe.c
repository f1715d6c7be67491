/* What callers of an object see: its structs, sizes, codes and messages (codegen/aot_entry.h).
 *
 * in:  versions that are compiled, described as the runtime would have them
 * out: members in the order of structs, and for each input and output of the program where its data come from
 * law: all versions have the same inputs, outputs and sizes; they differ in arena, constraints and sites at most
 */
#include "compiler/aot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- Codes and their messages ---- */

static bool add_message(aot_object *o, aot_kind kind, int32_t *code, const char *text) {
    aot_entry *e = &o->entry;
    if (!text || !array_reserve((void **)&o->messages, &o->messages_capacity, e->n_messages + 1, sizeof *o->messages))
        return aot_no_memory(o);
    *code = (int32_t)kind | (int32_t)(e->n_messages << AOT_KIND_BITS);
    o->messages[e->n_messages++] = text;
    e->messages = o->messages;
    return true;
}

#define ADD_MESSAGE(o, kind, code, ...) add_message((o), (kind), (code), arena_printf(&(o)->memory, __VA_ARGS__))

static const char *const base_words[AOT_BASE_COUNT] = {
    [AOT_INPUTS] = "inputs", [AOT_OUTPUTS] = "outputs", [AOT_STATE] = "state", [AOT_SCALAR] = "scalar"};

static bool add_common_messages(aot_object *o) {
    aot_entry *e = &o->entry;
    int32_t done, *codes = e->weights_codes;
    bool ok = ADD_MESSAGE(o, AOT_OK, &done, "done") &&
              ADD_MESSAGE(o, AOT_ERR_POINTER, &e->arena_code, "arena is NULL or not aligned to 64 bytes") &&
              ADD_MESSAGE(o, AOT_ERR_POINTER, &e->threads_code, "threads: workers is less than 1") &&
              ADD_MESSAGE(o, AOT_ERR_SIZE, &e->overflow_code, "a size does not fit in 63 bits") &&
              ADD_MESSAGE(o, AOT_ERR_WEIGHTS, &codes[AOT_NO_BOUND], "bound is NULL");
    if (o->options->weights_in_file)
        ok = ok &&
             ADD_MESSAGE(o, AOT_ERR_WEIGHTS, &codes[AOT_UNBOUND], "bound has no weights: %s_bind_weights comes first",
                         o->name) &&
             ADD_MESSAGE(o, AOT_ERR_WEIGHTS, &codes[AOT_NO_WEIGHTS], "weights are NULL or not aligned to 64 bytes") &&
             ADD_MESSAGE(o, AOT_ERR_WEIGHTS, &codes[AOT_WEIGHTS_CUT],
                         "the weights are cut short, or another object's: they have not the bytes of this one's") &&
             ADD_MESSAGE(o, AOT_ERR_WEIGHTS, &codes[AOT_WEIGHTS_OTHER], "the weights are not those of this object") &&
             ADD_MESSAGE(o, AOT_ERR_WEIGHTS, &codes[AOT_WEIGHTS_DAMAGED],
                         "the weights are damaged: their checksum is wrong");
    if (o->n_versions > 1)
        ok = ok && ADD_MESSAGE(o, AOT_ERR_WEIGHTS, &e->cpu_code, "the object has no code for this CPU");
    for (int base = 0; base < AOT_BASE_COUNT; base++)
        if (e->has[base])
            ok = ok && ADD_MESSAGE(o, AOT_ERR_POINTER, &e->base_codes[base], "%s is NULL", base_words[base]);
    return ok;
}

/* ---- Members ---- */

static const tn_graph *main_of(const aot_object *o) { return o->versions[0].compiled.main; }
static const dim_table *dims_of(const aot_object *o) { return o->versions[0].compiled.module->dims; }

const char *aot_type_text(aot_object *o, const tn_type *type) {
    char text[512];
    type_print(dims_of(o), type, text, sizeof text);
    const char *kept = arena_strdup(&o->memory, text);
    return kept ? kept : "";
}

static bool is_state(const tn_graph *g, size_t param) {
    for (size_t r = 0; r < g->n_results; r++)
        if (g->results[r].state_param == (int32_t)param) return true;
    return false;
}

/* An identifier that no other tensor has, and no size where it is an argument: the program (aot_program.c) is told all
 * of them by name. */
static const char *identify(aot_object *o, const char *name, aot_base base) {
    /* arguments of entries, and what NAME_arena_bytes has names for (aot_header.c) */
    static const char *const own[] = {"bound",   "state", "inputs", "outputs", "arena", "threads",
                                      "workers", "bad",   "shared", "own",     "bytes"};
    enum { OWN = sizeof own / sizeof *own };
    size_t n = 0, n_sizes = o->versions[0].described->n_symbols;
    const char **taken = tn_calloc(o->n_members + n_sizes + OWN, sizeof *taken);
    if (!taken) return NULL;
    for (size_t i = 0; i < o->n_members; i++) taken[n++] = o->members[i].identifier;
    for (size_t i = 0; base == AOT_SCALAR && i < OWN; i++) taken[n++] = own[i];
    for (size_t i = 0; o->size_names && i < n_sizes; i++)
        if (o->size_names[i]) taken[n++] = o->size_names[i];
    const char *text = aot_unique(&o->memory, name, base == AOT_OUTPUTS ? "output" : "input", taken, n);
    tn_free(taken);
    return text;
}

static uint64_t round_up(uint64_t offset, uint64_t to) { return (offset + to - 1) / to * to; }

/* The struct's next member; structs of tensors are all pointers, but for states whose sizes are known. */
static bool place_member(aot_object *o, aot_member *m, uint64_t *struct_bytes) {
    aot_place *p = &m->place;
    uint64_t pointer = codegen_pointer_bytes(o->codegen), element = tn_dtype_bits((tn_dtype)m->type->dtype) / 8;
    size_t bytes = 1;
    bool is_known = type_static_bytes(dims_of(o), m->type, &bytes);
    p->may_be_null = is_known && bytes == 0;
    p->is_array = p->base == AOT_STATE && is_known && bytes > 0;
    uint64_t alignment = p->is_array ? element : pointer;
    p->offset = round_up(*struct_bytes, alignment);
    *struct_bytes = p->offset + (p->is_array ? bytes : pointer);
    p->dtype = (tn_dtype)m->type->dtype;
    if (p->is_array) return true;
    const char *where = base_words[p->base];
    return ADD_MESSAGE(o, AOT_ERR_POINTER, &p->code, "%s->%s is NULL or not aligned to %u bytes", where, m->identifier,
                       (unsigned)element);
}

static aot_member *add_member(aot_object *o, const char *name, const tn_type *type, aot_base base) {
    aot_member *m = &o->members[o->n_members];
    *m = (aot_member){.name = name, .type = type, .identifier = identify(o, name, base), .place = {.base = base}};
    dim_table *t = o->versions[0].compiled.module->dims;
    m->bytes = dim_mul_const(t, type_element_count(t, type), tn_dtype_bits((tn_dtype)type->dtype) / 8);
    if (!m->identifier || m->bytes == DIM_INVALID) {
        aot_no_memory(o);
        return NULL;
    }
    o->n_members++;
    return m;
}

static aot_base base_of_param(const tn_graph *g, size_t param) {
    if (is_state(g, param)) return AOT_STATE;
    return graph_type(g, g->params[param].value)->rank == 0 ? AOT_SCALAR : AOT_INPUTS;
}

/* Members of one struct, or the scalars, in the order of parameters; e->inputs gets their places. */
static bool add_params(aot_object *o, aot_base base) {
    const tn_graph *g = main_of(o);
    aot_entry *e = &o->entry;
    uint64_t bytes = 0;
    for (size_t i = 0, number = 0; i < g->n_params; i++) {
        if (g->params[i].binding == BINDING_LOAD) continue;
        size_t input = number++;
        if (base_of_param(g, i) != base) continue;
        aot_member *m = add_member(o, g->params[i].name, graph_type(g, g->params[i].value), base);
        if (!m) return false;
        if (base == AOT_SCALAR) {
            m->place.offset = e->n_scalars;
            m->place.dtype = e->scalars[e->n_scalars] = (tn_dtype)m->type->dtype;
            e->n_scalars++;
        } else if (!place_member(o, m, &bytes)) {
            return false;
        }
        e->inputs[input] = m->place;
    }
    if (base == AOT_STATE) e->state_bytes = bytes;
    return true;
}

static size_t input_number(const tn_graph *g, int32_t param) {
    size_t number = 0;
    for (int32_t i = 0; i < param; i++) number += g->params[i].binding != BINDING_LOAD;
    return number;
}

static bool add_results(aot_object *o) {
    const tn_graph *g = main_of(o);
    aot_entry *e = &o->entry;
    uint64_t bytes = 0;
    for (size_t r = 0; r < g->n_results; r++) {
        if (g->results[r].state_param >= 0) {
            e->outputs[r] = e->inputs[input_number(g, g->results[r].state_param)];
            continue;
        }
        aot_member *m = add_member(o, g->results[r].name, graph_type(g, g->results[r].value), AOT_OUTPUTS);
        if (!m || !place_member(o, m, &bytes)) return false;
        e->outputs[r] = m->place;
    }
    return true;
}

static bool find_bases(aot_object *o) {
    const tn_graph *g = main_of(o);
    aot_entry *e = &o->entry;
    for (size_t i = 0; i < g->n_params; i++) {
        if (g->params[i].binding == BINDING_LOAD) continue;
        aot_base base = base_of_param(g, i);
        e->n_inputs++;
        if (base != AOT_SCALAR) e->has[base] = true;
    }
    e->n_outputs = g->n_results;
    for (size_t r = 0; r < g->n_results; r++) e->has[AOT_OUTPUTS] |= g->results[r].state_param < 0;
    o->members = ARENA_ARRAY(&o->memory, aot_member, e->n_inputs + e->n_outputs + 1);
    e->inputs = ARENA_ARRAY(&o->memory, aot_place, e->n_inputs + 1);
    e->outputs = ARENA_ARRAY(&o->memory, aot_place, e->n_outputs + 1);
    e->scalars = ARENA_ARRAY(&o->memory, tn_dtype, e->n_inputs + 1);
    return (o->members && e->inputs && e->outputs && e->scalars) || aot_no_memory(o);
}

/* ---- Sizes ---- */

static bool add_sizes(aot_object *o) {
    const tn_program *p = o->versions[0].described;
    aot_entry *e = &o->entry;
    e->n_sizes = p->n_symbols;
    e->sizes = ARENA_ARRAY(&o->memory, aot_size, e->n_sizes + 1);
    o->size_names = ARENA_ARRAY(&o->memory, const char *, e->n_sizes + 1);
    if (!e->sizes || !o->size_names) return aot_no_memory(o);
    for (size_t i = 0; i < e->n_sizes; i++) {
        const tn_symbol_info *s = &p->symbols[i];
        aot_size *size = &e->sizes[i];
        *size = (aot_size){.low = s->lower, .high = s->upper, .divisor = s->divisor};
        if (!(o->size_names[i] = identify(o, s->name, AOT_SCALAR))) return aot_no_memory(o);
        char high[60] = "", divisor[60] = "";
        if (s->upper < INT64_MAX) snprintf(high, sizeof high, " and at most %" PRId64, s->upper);
        if (s->divisor > 1) snprintf(divisor, sizeof divisor, ", a multiple of %" PRId64, s->divisor);
        if (!ADD_MESSAGE(o, AOT_ERR_SIZE, &size->code, "%s must be at least %" PRId64 "%s%s", o->size_names[i],
                         s->lower, high, divisor))
            return false;
    }
    return true;
}

/* ---- Versions ---- */

static bool add_site_codes(aot_object *o, const tn_program *p, aot_version *v) {
    int32_t *codes = ARENA_ARRAY(&o->memory, int32_t, p->n_sites + 1u);
    if (!codes) return aot_no_memory(o);
    for (uint32_t i = 0; i < p->n_sites; i++) {
        const program_site *s = &p->sites[i];
        const char *where = s->location && *s->location ? s->location : NULL;
        codes[i] = 0;
        if (s->kind == SITE_NAN_HINT) continue; /* never ends a run */
        bool ok =
            s->kind == SITE_NAN
                ? ADD_MESSAGE(o, AOT_ERR_NAN, &codes[i], "%s%s%s%s%s%s: a NaN in its result, %s", where ? where : "",
                              where ? ": " : "", s->op, s->gradient_of ? " (in the gradient of " : "",
                              s->gradient_of ? s->gradient_of : "", s->gradient_of ? ")" : "", s->type)
            : s->kind == SITE_ASSERT ? ADD_MESSAGE(o, AOT_ERR_ASSERT, &codes[i], "%s%s%s", where ? where : "",
                                                   where ? ": " : "", s->message ? s->message : "an assertion failed")
                                     : ADD_MESSAGE(o, AOT_ERR_INDEX, &codes[i], "%s%s%s: an index is out of range",
                                                   where ? where : "", where ? ": " : "", s->op);
        if (!ok) return false;
    }
    v->site_codes = codes;
    v->n_sites = p->n_sites;
    return true;
}

static bool add_constraint_codes(aot_object *o, const tn_program *p, aot_version *v) {
    int32_t *codes = ARENA_ARRAY(&o->memory, int32_t, p->n_constraints + 1u);
    if (!codes) return aot_no_memory(o);
    for (uint32_t i = 0; i < p->n_constraints; i++)
        if (!ADD_MESSAGE(o, AOT_ERR_SIZE, &codes[i], "%s", p->constraints[i].message)) return false;
    v->constraint_codes = codes;
    v->n_constraints = p->n_constraints;
    return true;
}

static size_t count_bound(const tn_program *p) {
    size_t n = TN_BOUND_DIMS;
    for (uint32_t i = 0; i < p->n_inputs; i++) n += (size_t)p->inputs[i].rank;
    for (uint32_t i = 0; i < p->n_outputs; i++) n += (size_t)p->outputs[i].rank;
    return n;
}

static bool describe_version(aot_object *o, size_t number) {
    aot_compiled *compiled = &o->versions[number];
    const compilation *c = &compiled->compiled;
    aot_version *v = &o->entry.versions[number];
    tn_program *p = compiled->described = program_new(o->model);
    if (!p || !describe_program(p, c)) return aot_no_memory(o);
    if (p->n_customs > 0)
        return aot_fail(o, TN_ERR_UNSUPPORTED, "the op '%s' is the user's own: an object cannot call it",
                        p->customs[0].name);
    const function_plan *plan = plan_of(&c->plan, c->main);
    v->arena_bytes = v->scratch_bytes = -1;
    dim_is_const(c->module->dims, plan->arena_bytes, &v->arena_bytes);
    dim_is_const(c->module->dims, plan->scratch_bytes, &v->scratch_bytes);
    v->n_bound = count_bound(p);
    return true;
}

bool aot_describe(aot_object *o) {
    aot_entry *e = &o->entry;
    for (size_t v = 0; v < o->n_versions; v++)
        if (!describe_version(o, v)) return false;
    bool ok = find_bases(o) && add_common_messages(o) && add_sizes(o) && add_params(o, AOT_STATE) &&
              add_params(o, AOT_INPUTS) && add_params(o, AOT_SCALAR) && add_results(o);
    for (size_t v = 0; ok && v < o->n_versions; v++)
        ok = add_constraint_codes(o, o->versions[v].described, &e->versions[v]) &&
             add_site_codes(o, o->versions[v].described, &e->versions[v]);
    int32_t unknown;
    return ok && ADD_MESSAGE(o, AOT_OK, &unknown, "unknown code");
}
