/* ONNX files as C structs.
 *
 * in:  a model file (ModelProto) or bytes in memory
 * out: the structs below, in one arena; what is large (tensor data, byte strings) stays in
 *      place in the mapped file
 * law: the structs say what the file says, nothing is interpreted: types, operator names and
 *      versions are the importer's business. Whatever the bytes, reading ends in a model or in
 *      a diagnostic with the path of the message and the byte where it went wrong.
 *
 * Field names follow onnx.proto. Text is NUL-terminated valid UTF-8 and never NULL ("" when the
 * file does not say); lists have `items` and `count`; a pointer to a message is NULL when absent.
 * Documentation strings, quantization annotations, device placements and training graphs are
 * skipped.
 */
#ifndef TN_ONNX_PROTO_H
#define TN_ONNX_PROTO_H

#include "tenon_rt.h"

#define ONNX_LIST(type)                                                                                                \
    struct {                                                                                                           \
        type *items;                                                                                                   \
        size_t count;                                                                                                  \
    }

/* A piece of the file. `data` is NULL when the field is absent. */
typedef struct onnx_bytes {
    const uint8_t *data;
    size_t size;
} onnx_bytes;

typedef ONNX_LIST(const char *) onnx_text_list;

/* StringStringEntryProto */
typedef struct onnx_entry {
    const char *key, *value;
} onnx_entry;

typedef ONNX_LIST(onnx_entry) onnx_entry_list;

/* OperatorSetIdProto. `domain` is as written: "" and "ai.onnx" both mean the standard. */
typedef struct onnx_opset {
    const char *domain;
    int64_t version;
} onnx_opset;

typedef ONNX_LIST(onnx_opset) onnx_opset_list;

/* TensorShapeProto.Dimension. Exporters write unknown sizes as nothing, as "" or as a negative
 * number: all of them read as ONNX_DIM_UNKNOWN. */
enum { ONNX_DIM_UNKNOWN = 0, ONNX_DIM_VALUE = 1, ONNX_DIM_PARAM = 2 };

typedef struct onnx_dim {
    int32_t kind; /* ONNX_DIM_... */
    union {
        int64_t value;
        const char *param;
    };
} onnx_dim;

typedef struct onnx_shape {
    ONNX_LIST(onnx_dim) dims;
} onnx_shape;

typedef struct onnx_tensor_type {
    int32_t elem_type; /* TensorProto.DataType, see tensorproto.h */
    onnx_shape *shape; /* NULL: not even the rank is known */
} onnx_tensor_type;

/* TypeProto. The kinds are the field numbers of its `value`; only tensors are read further. */
enum {
    ONNX_TYPE_NONE = 0,
    ONNX_TYPE_TENSOR = 1,
    ONNX_TYPE_SEQUENCE = 4,
    ONNX_TYPE_MAP = 5,
    ONNX_TYPE_OPAQUE = 7,
    ONNX_TYPE_SPARSE_TENSOR = 8,
    ONNX_TYPE_OPTIONAL = 9,
};

typedef struct onnx_type {
    int32_t kind;             /* ONNX_TYPE_... */
    onnx_tensor_type *tensor; /* for ONNX_TYPE_TENSOR, else NULL */
} onnx_type;

/* "tensor", "sequence", ...; never NULL. */
const char *onnx_type_kind_name(int32_t kind);

/* ValueInfoProto */
typedef struct onnx_value_info {
    const char *name;
    onnx_type *type; /* or NULL */
} onnx_value_info;

typedef ONNX_LIST(onnx_value_info) onnx_value_info_list;

/* TensorProto. Its elements are read with tensorproto.h. */
typedef struct onnx_tensor {
    const char *name;
    ONNX_LIST(int64_t) dims;
    int32_t data_type;        /* TensorProto.DataType */
    int32_t data_field;       /* number of the field that holds the elements, 0: none */
    int32_t data_location;    /* 0: in this message, 1: external */
    onnx_bytes raw_data;      /* when data_field is 9 */
    onnx_entry_list external; /* external_data */
    onnx_bytes body;          /* the whole message */
} onnx_tensor;

typedef ONNX_LIST(onnx_tensor) onnx_tensor_list;

/* SparseTensorProto: read as far as its name, then refused. */
typedef struct onnx_sparse_tensor {
    onnx_tensor *values;
} onnx_sparse_tensor;

/* AttributeProto.AttributeType. Sparse tensors are refused while reading. */
enum {
    ONNX_ATTR_UNDEFINED = 0,
    ONNX_ATTR_FLOAT = 1,
    ONNX_ATTR_INT = 2,
    ONNX_ATTR_STRING = 3,
    ONNX_ATTR_TENSOR = 4,
    ONNX_ATTR_GRAPH = 5,
    ONNX_ATTR_FLOATS = 6,
    ONNX_ATTR_INTS = 7,
    ONNX_ATTR_STRINGS = 8,
    ONNX_ATTR_TENSORS = 9,
    ONNX_ATTR_GRAPHS = 10,
    ONNX_ATTR_SPARSE_TENSOR = 11,
    ONNX_ATTR_SPARSE_TENSORS = 12,
    ONNX_ATTR_TYPE_PROTO = 13,
    ONNX_ATTR_TYPE_PROTOS = 14,
};

typedef struct onnx_graph onnx_graph;

/* AttributeProto. `type` says which member holds the value, also for files of IR version 1 that
 * leave it out. With a `ref_attr_name` the value is that attribute of the calling node instead. */
typedef struct onnx_attribute {
    const char *name;
    const char *ref_attr_name;
    int32_t type;        /* ONNX_ATTR_... */
    int32_t value_field; /* number of the field that holds the value, 0: none (zero, empty) */
    union {
        float f;
        int64_t i;
        onnx_bytes s; /* need not be text */
        onnx_tensor *t;
        onnx_graph *g;
        onnx_type *tp;
        ONNX_LIST(float) floats;
        ONNX_LIST(int64_t) ints;
        ONNX_LIST(onnx_bytes) strings;
        onnx_tensor_list tensors;
        ONNX_LIST(onnx_graph) graphs;
        ONNX_LIST(onnx_type) type_protos;
        onnx_sparse_tensor *sparse_tensor;            /* never */
        ONNX_LIST(onnx_sparse_tensor) sparse_tensors; /* never */
    };
} onnx_attribute;

typedef ONNX_LIST(onnx_attribute) onnx_attribute_list;

/* "FLOAT", "INTS", ...; never NULL. */
const char *onnx_attribute_type_name(int32_t type);

/* NodeProto. `op_type` is not empty; an input "" is an optional one left out. */
typedef struct onnx_node {
    const char *name;
    const char *op_type;
    const char *domain;
    const char *overload;
    onnx_text_list inputs, outputs;
    onnx_attribute_list attributes;
} onnx_node;

typedef ONNX_LIST(onnx_node) onnx_node_list;

/* GraphProto. Initializers have names; sparse ones are refused while reading. */
struct onnx_graph {
    const char *name;
    onnx_node_list nodes;
    onnx_tensor_list initializers;
    onnx_value_info_list inputs, outputs, value_infos;
    ONNX_LIST(onnx_sparse_tensor) sparse_initializers; /* always empty */
};

/* FunctionProto */
typedef struct onnx_function {
    const char *name;
    const char *domain;
    const char *overload;
    onnx_text_list inputs, outputs;
    onnx_text_list attributes;            /* names of attributes without a default */
    onnx_attribute_list attribute_protos; /* attributes with their defaults */
    onnx_node_list nodes;
    onnx_opset_list opset_imports;
    onnx_value_info_list value_infos;
} onnx_function;

/* Owns what was read: the arena, the mapped file, files with external data. */
typedef struct onnx_store onnx_store;

/* ModelProto */
typedef struct onnx_model {
    onnx_store *store;
    int64_t ir_version;
    int64_t model_version;
    const char *producer_name, *producer_version;
    const char *domain;
    onnx_opset_list opset_imports;
    onnx_entry_list metadata_props;
    onnx_graph *graph; /* never NULL */
    ONNX_LIST(onnx_function) functions;
} onnx_model;

typedef struct onnx_limits {
    size_t max_depth;        /* graphs within graphs, at most ONNX_DEPTH_CEILING */
    size_t max_nodes;        /* in all graphs and functions together */
    size_t max_string_bytes; /* of one name or metadata value */
    size_t max_struct_bytes; /* of all structs together, tensor data apart */
} onnx_limits;

/* Each level of graphs takes some kilobytes of stack while reading. */
enum { ONNX_DEPTH_CEILING = 256 };

#define ONNX_LIMITS_DEFAULT                                                                                            \
    ((onnx_limits){.max_depth = 64, .max_nodes = 500000, .max_string_bytes = 16u << 20, .max_struct_bytes = 64u << 20})

/* Reads the model file at `path`. External data is looked for in the folder of `path`, as given,
 * and only beneath it. `limits` may be NULL for the defaults. On failure *model is NULL and
 * *diag says why, with `path` (the caller's pointer) as its file. The file must not shrink while
 * the model lives. */
tn_status onnx_model_open(const char *path, const onnx_limits *limits, onnx_model **model, tn_diag *diag);

/* The same from bytes that the caller keeps alive as long as the model. External data is refused
 * when `folder` is NULL. */
tn_status onnx_model_from_memory(const void *bytes, size_t size, const char *folder, const onnx_limits *limits,
                                 onnx_model **model, tn_diag *diag);

/* Gives back the memory that pages of the model's files take; what is read again comes from the files again. */
void onnx_model_drop_pages(const onnx_model *model);

/* NULL is fine. */
void onnx_model_close(onnx_model *model);

/* The attribute with that name, or NULL. */
const onnx_attribute *onnx_node_attribute(const onnx_node *node, const char *name);

#endif
