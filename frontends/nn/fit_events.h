/* What training writes for TensorBoard. */
#ifndef TN_NN_FIT_EVENTS_H
#define TN_NN_FIT_EVENTS_H

#include "tenon_fit.h"

/* Scalars of a step: train/loss, train/learning_rate, train/gradient_norm. */
tn_status fit_events_step(tn_event_writer *w, const tn_fit_event *event, tn_diag *diag);
/* Scalars of an epoch, metrics too, under epoch/ and validation/, and histograms of all parameters. */
tn_status fit_events_epoch(tn_event_writer *w, const tn_fit_event *event, tn_diag *diag);
/* The function forward: a node for each of its nodes, in the layers' scopes. */
tn_status fit_events_graph(tn_event_writer *w, const tn_trainer *t, tn_diag *diag);

#endif
