/* The file behind an event writer: records with sums.
 *
 * in:  the bytes of one message after the other
 * out: a file in TensorFlow's record format: length, sum of the length, bytes, sum of the bytes
 * law: a record is handed to the system whole, in one write
 *
 * Sums are CRC-32C, rotated and offset. Source: TensorFlow's description of TFRecord.
 */
#ifndef TN_DATA_EVENT_FILE_H
#define TN_DATA_EVENT_FILE_H

#include "tenon_rt.h"

typedef struct event_file {
    char *path;
    int fd;
    uint32_t crc_table[256];
    uint8_t *record; /* reused */
    size_t capacity;
} event_file;

/* Makes the folder and a file in it. On failure nothing is to be closed. */
tn_status event_file_new(const char *folder, event_file *file, tn_diag *diag);

tn_status event_file_append(event_file *file, const uint8_t *bytes, size_t n, tn_diag *diag);

/* Syncs and closes. */
tn_status event_file_close(event_file *file, tn_diag *diag);

#endif
