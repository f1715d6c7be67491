/* Tables of numbers from memory (see tn_dataset_csv). */
#ifndef TN_DATA_CSV_H
#define TN_DATA_CSV_H

#include "frontends/data/tenon_data.h"

/* tn_dataset_csv of a text, which is not needed after the call. */
tn_status csv_parse(const char *text, size_t bytes, const tn_csv_options *options, tn_dataset **dataset, tn_diag *diag);

#endif
