/* What the emission of a program carries along; private to program_*.c. */
#ifndef TN_CODEGEN_PROGRAM_STATE_H
#define TN_CODEGEN_PROGRAM_STATE_H

#include "compiler/codegen/builder_place.h"
#include "compiler/codegen/emit_copy.h"
#include "compiler/codegen/program_emit.h"

/* All stages of a program in one array. Its items are 32-bit distances from the array, which nothing has to change when
 * the object is loaded, or pointers: where code is not position-independent, or stages may lie in other objects, of
 * which nobody knows how near they will be. */
typedef struct stage_table {
    LLVMValueRef array;
    uint32_t *first; /* of each kernel of the plan */
    bool is_relative;
} stage_table;

/* Small constants, one after the other. Until all are known a placeholder stands for the array. */
typedef struct constant_pool {
    LLVMValueRef array; /* NULL: none so far */
    const tensor_data **items;
    size_t n, capacity;
    int64_t *offsets;
    size_t offsets_capacity;
    int64_t bytes;
} constant_pool;

typedef struct program_emitter {
    const emitter *out;
    const kernel_home *home;
    const program_plan *plan;
    tn_graph *entry;
    const char *prefix;
    emitted_tables *tables;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    dim_table *dims;
    LLVMTypeRef i8, i32, i64, pointer, empty;
    LLVMValueRef **stages; /* of each kernel of the plan */
    stage_table table;     /* of all of them */
    constant_pool pool;
    LLVMValueRef *functions;   /* of each function of the plan, NULL for kernels */
    bool *needed;              /* of each function of the plan: the entry reaches it */
    LLVMValueRef call, report; /* program_launch.c */
    LLVMTypeRef call_type, report_type, function_type;
    bool failed;
} program_emitter;

/* Calls of kernels that are still to be made, as the helper takes them (program_launch.c): a header of words for each
 * call, then a row for each slot from ABI_BUFFERS on, then one for the chunks of each stage.
 *
 * A row is where a value comes from: an item of an array, or a number, and what is added to it, which is in further
 * words. Its first word holds the array, how many words follow (ROW_COUNT_BITS) and the item or number. */
enum { CALL_SITE_BASE, CALL_FIRST_STAGE, CALL_ROWS, CALL_STAGES, CALL_HEADER };
enum { ROW_ARRAY_BITS = 3, ROW_COUNT_BITS = 2, ROW_INDEX_BITS = 32 - ROW_ARRAY_BITS - ROW_COUNT_BITS };
enum { OF_OWN, OF_PARAMS, OF_RESULTS, OF_WEIGHTS, ARRAY_COUNT, OF_NUMBER = ARRAY_COUNT };

typedef struct call_table {
    size_t n;
    int64_t first_number; /* of the calls, for the hooks; the others follow */
    LLVMValueRef *words;
    size_t n_words, words_capacity;
    LLVMValueRef arrays, own, slots; /* on the stack, of all calls of the function; NULL until there is one */
    LLVMValueRef *own_values;        /* behind what every function has */
    size_t n_own, own_capacity;
} call_table;

/* The function being emitted. */
typedef struct function_emitter {
    program_emitter *p;
    const function_plan *plan;
    tn_graph *graph;
    LLVMValueRef function, frame, params, results, arena, symbols_array, scratch_stride;
    tn_dim *known_dims; /* computed in the entry: symbols first (program_dims.c) */
    LLVMValueRef *known_values;
    uint32_t n_known;
    size_t dims_capacity, values_capacity;
    LLVMBasicBlockRef entry;   /* allocas and values of dims go here */
    LLVMMetadataRef described; /* for lines; NULL: it has none */
    call_table calls;
} function_emitter;

bool program_fail(program_emitter *p, tn_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
LLVMValueRef program_i64(const program_emitter *p, int64_t value);
LLVMValueRef program_function(program_emitter *p, const char *name, LLVMTypeRef type, bool is_internal);
/* Arrays of pointers, slots (abi.h), the frame and its hooks lie as on a machine of 64 bits, on any target: a pointer is
 * a word of 8 bytes. All are little-endian, so that a narrower pointer is loaded as it is; it is stored with zeros behind
 * it. */
void program_store(program_emitter *p, LLVMValueRef value, LLVMValueRef at);
/* Loads member `index` of the frame at pointer `frame` (order of tn_frame). */
LLVMValueRef program_frame_member(program_emitter *p, LLVMValueRef frame, unsigned offset, LLVMTypeRef type);
LLVMValueRef program_load_at(program_emitter *p, LLVMValueRef array, int64_t index,
                             LLVMTypeRef type); /* 8-byte items */
void program_store_at(program_emitter *p, LLVMValueRef array, int64_t index, LLVMValueRef value);

/* program_data.c: constants. Up to PROGRAM_INLINE_BYTES they stand in the object: bytes from the start of the pool. */
int64_t program_constant(program_emitter *p, const tensor_data *data);
/* Larger ones stand behind the entry's weights in the frame: which one. */
int64_t program_constant_weight(program_emitter *p, const tensor_data *data);
bool program_close_pool(program_emitter *p); /* when all constants are known */

/* Of the line of the header of a function of the graph: an entry, or what is to become of it. */
LLVMMetadataRef program_describe(program_emitter *p, LLVMValueRef function, const char *name, const tn_graph *g);

/* A constant array of the program, as no other module sees it. */
LLVMValueRef program_array(program_emitter *p, const char *name, LLVMValueRef value, unsigned alignment);

/* program_launch.c: the table of stages, when they are known. */
bool program_make_stage_table(program_emitter *p);
/* Helper functions in the module: make calls of kernels, record a run-time error. */
void program_emit_helpers(program_emitter *p);

/* program_dims.c: sizes and offsets. Its value over symbols of given values; something, and the failure recorded,
 * when it has none. */
LLVMValueRef program_dim_over(program_emitter *p, tn_dim d, const tn_dim *symbols, const LLVMValueRef *values,
                              uint32_t n);
LLVMValueRef program_dim(function_emitter *f, tn_dim d);              /* its value, over the function's symbols */
bool program_know_dim(function_emitter *f, tn_dim d, LLVMValueRef v); /* v is in the entry; false: no memory */

/* program_calls.c: calls of kernels. `number`: of the call, for the hooks. They are made by the next flush. */
void program_call_kernel(function_emitter *f, const node *n, int64_t number);
void program_flush_calls(function_emitter *f);
void program_end_calls(function_emitter *f);

/* program_node.c: what one function does. */
bool program_emit_function(program_emitter *p, const function_plan *plan, LLVMValueRef function);
LLVMValueRef program_stack_slots(function_emitter *f, int64_t n); /* 8-byte slots, made once in the function's entry */
LLVMBasicBlockRef program_new_block(function_emitter *f, const char *name);
LLVMValueRef program_place(function_emitter *f, value_id v); /* the pointer to a value */
LLVMValueRef program_load_bool(function_emitter *f, LLVMValueRef at);
tn_dim program_aligned_bytes(const program_emitter *p, tn_dim elements, tn_dtype dtype);
int64_t program_add_site(program_emitter *p, emitted_site site);

/* program_effects.c: nodes that tell or ask the caller something. */
void program_emit_assert(function_emitter *f, const node *n);
void program_emit_print(function_emitter *f, const node *n);
void program_emit_custom(function_emitter *f, const node *n);

/* program_bind.c */
bool program_emit_bind(program_emitter *p);

#endif
