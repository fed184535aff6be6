/* stream_int.h - a file of rows in blocks: what `data check` and `data split` read, so that memory does not grow with
 * the file. One thread cuts, many take the items out of the blocks.
 *
 * M1  A block ends where a row ends; the items of all blocks, in order, are the rows of the file.
 * M2  An item knows its byte offset in the file, and its line and column for messages.
 * M3  What is between items is checked: one comma in an array, its brackets, nothing behind it. */
#ifndef AC_DATA_STREAM_INT_H
#define AC_DATA_STREAM_INT_H

#include "base/file.h"
#include "data/data_int.h"

typedef struct {
    const char *path;           /* borrowed */
    ac_reader *file;
    uint64_t size, at;          /* bytes given so far */
    size_t line, column;        /* of at */
    bool is_array, ended, want_item;
} ac_stream;
/* Refuses compressed files and other encodings by name. */
ac_status ac_stream_open(ac_stream *s, const char *path, ac_err *err);
void      ac_stream_close(ac_stream *s);

typedef struct {
    char *buf;
    size_t cap, len;            /* len: up to the cut */
    uint64_t offset;
    size_t line, column;
    bool secret;                /* of a sealed file: wiped on release */
} ac_block;
#define AC_BLOCK_BYTES ((size_t)1 << 20)
/* Reads the next block; *end when there was none. The buffer is kept for the next. */
ac_status ac_stream_next(ac_stream *s, ac_block *b, bool *end, ac_err *err);
void      ac_block_release(ac_block *b);

typedef struct {
    ac_view text;               /* one JSON value, or what stands in its place */
    uint64_t offset;
    size_t line, column;
} ac_item;
typedef struct {
    const ac_block *b;
    bool is_array;
    size_t at, line, column;
} ac_items;
void ac_items_start(ac_items *x, const ac_stream *s, const ac_block *b);
bool ac_items_next(ac_items *x, ac_item *out);

#endif
