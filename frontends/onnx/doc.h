/* What is documented of the ops of ONNX (doc.c). */
#ifndef TN_ONNX_DOC_H
#define TN_ONNX_DOC_H

/* Why no gradient goes through an op; NULL: one does. */
const char *onnx_no_gradient(const char *name);

/* A section of docs/OPS.md, from tn_malloc; NULL: no memory. */
char *onnx_doc(void);

#endif
