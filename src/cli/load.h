/* cli/load.h - opens what the options name: device, model, adapter, tokenizer, chat format. */
#ifndef AC_CLI_LOAD_H
#define AC_CLI_LOAD_H

#include "base/mem.h"
#include "cli/cli.h"
#include "model/adapter.h"
#include "model/model.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

typedef struct {
    ac_arena arena;
    char *path;                 /* where the model lies */
    int gpu;                    /* set before: which of them */
    bool wants_gpu;             /* set before: the contract's numerics are a GPU's */
    ac_device *device;
    ac_model *model;
    ac_adapter *adapter;        /* NULL: none */
    ac_tokenizer *tokenizer;
    ac_chat *chat;
} ac_loaded;                    /* {0} is valid */

/* name: a path or the name of a pulled model. adapter: a PEFT folder or a run folder, or NULL. */
ac_status ac_load_model(ac_loaded *l, const ac_cli *cli, const char *name, const char *adapter, ac_err *err);
ac_status ac_load_tokenizer(ac_loaded *l, const char *name, ac_err *err);
ac_status ac_load_chat(ac_loaded *l, const char *format, ac_err *err);   /* after the tokenizer */
void      ac_loaded_release(ac_loaded *l);

/* Ids written as 1,2,3; spaces and brackets around them are accepted. */
ac_status ac_parse_ids(ac_ids *out, const char *text, const char *where, ac_err *err);
/* [1,2,3] */
void      ac_write_ids(ac_str *out, const int32_t *ids, size_t n);

#endif
