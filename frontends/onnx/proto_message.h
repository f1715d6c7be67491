/* Messages by table: from the bytes of a protobuf message to a C struct.
 *
 * A proto_message describes one message type, a proto_field row one of its fields: number, name,
 * how it is read, and where in the struct it goes. Fields without a row are skipped.
 */
#ifndef TN_ONNX_PROTO_MESSAGE_H
#define TN_ONNX_PROTO_MESSAGE_H

#include "frontends/onnx/proto.h"
#include "runtime/alloc.h"

typedef enum field_kind {
    FIELD_INT64,   /* int64_t */
    FIELD_INT32,   /* int32_t, enums too */
    FIELD_FLOAT,   /* float */
    FIELD_DOUBLE,  /* double */
    FIELD_TEXT,    /* const char *: a checked copy, "" when absent */
    FIELD_BYTES,   /* onnx_bytes, in place */
    FIELD_MESSAGE, /* once: a pointer; repeated: the struct itself */
} field_kind;

typedef enum field_label {
    ONCE,     /* the last one counts, as protobuf has it; a message must not come twice */
    REPEATED, /* an ONNX_LIST of the kind */
    UNSTORED, /* any number; looked at for its wire type and for `which` only */
    REFUSED,  /* legal ONNX that Tenon does not support */
} field_label;

typedef struct proto_message proto_message;

typedef struct proto_field {
    uint32_t number;
    const char *name;
    field_kind kind;
    field_label label;
    bool is_choice;               /* at most one field with this set may be given */
    size_t offset;                /* in the struct */
    const proto_message *message; /* FIELD_MESSAGE */
} proto_field;

typedef struct proto_parser proto_parser;
typedef struct proto_path proto_path;

enum { PROTO_NOWHERE = -1, PROTO_MAX_FIELDS = 20 };

struct proto_message {
    size_t size; /* of the struct */
    size_t field_count;
    const proto_field *fields;
    bool is_graph;   /* counts as a level of depth */
    ptrdiff_t which; /* int32_t that takes the number of the choice given, or PROTO_NOWHERE */
    ptrdiff_t body;  /* onnx_bytes that takes the whole message, or PROTO_NOWHERE */
    /* Called when all fields are read; may normalise the struct or refuse it. Or NULL. */
    tn_status (*check)(proto_parser *parser, const proto_path *path, void *message);
};

struct proto_parser {
    const uint8_t *base; /* start of the file: byte offsets in diagnostics count from here */
    arena *arena;
    onnx_limits limits;
    tn_diag *diag;
    size_t depth;
    size_t node_count;
};

/* Where we are: "graph", "graph.node[3]", ... */
struct proto_path {
    const proto_path *up; /* NULL: the file itself */
    const char *name;
    int64_t index; /* -1: not a list */
    onnx_bytes bytes;
};

/* Reads `bytes` into `message`, a zeroed struct of type->size bytes. */
tn_status proto_parse(proto_parser *parser, const proto_message *type, const proto_path *path, void *message);

/* Fills the parser's diagnostic with "PATH: TEXT (byte N)"; returns `status`. */
tn_status proto_fail(proto_parser *parser, const proto_path *path, const uint8_t *at, tn_status status,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
