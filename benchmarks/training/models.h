/* The three models that training is measured by.
 *
 *     tn_model *m = training_model_new(training_task_find("gpt"), TN_F32);
 *     tn_trainer *t = tn_trainer_new(m, &(tn_trainer_options){.optimizer = training_optimizer(task)}, &diag);
 *
 * Inputs are "x", targets "y" (classes, i32). torch_models.py and jax_models.py define the same models, which take
 * parameters by the names they have here.
 */
#ifndef TN_BENCHMARKS_TRAINING_MODELS_H
#define TN_BENCHMARKS_TRAINING_MODELS_H

#include "tenon_train.h"

/* Sizes of a model; what a kind has no use for is 0. */
typedef struct training_sizes {
    int64_t batch, classes; /* of a GPT: its vocabulary */
    int64_t width;          /* hidden units, features of a GPT, channels of a ResNet's first stage */
    int64_t inputs;         /* features of an MLP, rows and columns of a ResNet's pictures */
    int64_t layers;         /* of an MLP: hidden ones; of a GPT; stages of a ResNet */
    int64_t blocks;         /* of a ResNet's stage */
    int64_t heads, context; /* of a GPT */
} training_sizes;

typedef struct training_task {
    const char *name;
    void (*build)(tn_model *m, const training_sizes *sizes, tn_dtype dtype);
    training_sizes sizes;
    const char *optimizer;
    double learning_rate, momentum;
} training_task;

/* mlp, gpt, resnet18. NULL: there is none of that name. */
const training_task *training_task_find(const char *name);

/* To be freed with tn_model_free. NULL: no memory. */
tn_model *training_model_new(const training_task *task, tn_dtype dtype);
tn_optimizer training_optimizer(const training_task *task);

#endif
