/* One JSON object to stdout. */
#ifndef TN_CLI_JSON_H
#define TN_CLI_JSON_H

#include <jansson.h>

/* Prints `all` and takes it over; NULL, and an error on stderr: no memory. Returns the exit status. */
int print_json(json_t *all);

#endif
