/* tokenizer/chat_int.h - a chat format with what its template leaves open. */
#ifndef AC_TOKENIZER_CHAT_INT_H
#define AC_TOKENIZER_CHAT_INT_H

#include "tokenizer/chat.h"
#include "tokenizer/tokenizer_int.h"

typedef enum {             /* Mistral: where the system message goes */
    AC_SYS_NONE, AC_SYS_FIRST_USER, AC_SYS_LAST_USER, AC_SYS_BEFORE, AC_SYS_TAGS
} ac_system_place;

typedef struct {
    ac_chat_format format;
    bool bos;              /* the template begins with BOS (Llama 2: each user turn) */
    bool trim;             /* contents lose white space at both ends */
    bool trim_system;      /* the system text too, before it is joined to a user's */
    bool no_system;        /* the template refuses or loses system messages */
    bool final_eos;        /* EOS behind a conversation that ends with an answer (Phi-3.5) */
    bool dated;            /* Llama 3.1 and later: a system turn with dates, always */
    bool old_qwen;         /* Qwen 1.5 and 2: the shorter default system text */
    ac_system_place system_place;
    const char *open, *close, *before_answer, *after_eos;     /* Mistral's frame */
} ac_chat_style;

/* The style that a format has when only its name is known. */
ac_chat_style ac_chat_style_of(ac_chat_format f);
/* False when the template is none that is known. */
bool ac_chat_detect(ac_chat_style *out, ac_view template_text);

enum { AC_CHAT_MAX_STOPS = 8 };

struct ac_chat {
    const ac_tokenizer *t;
    ac_chat_style style;
    int32_t stop[AC_CHAT_MAX_STOPS];
    size_t n_stops;
};

/* ---- writing: text gathers in a run, which is encoded as a whole where a token or a cut ends it ---- */

typedef struct {
    const ac_chat *c;
    ac_rendered *out;
    ac_str run;
    bool fresh;            /* the run follows a special token or the beginning: a prefix space belongs there */
    bool eat;              /* that token takes the white space after it along */
    int32_t message;
    uint8_t said;
    ac_status st;
    ac_err *err;
} ac_pen;

void ac_pen_text(ac_pen *p, ac_view text);
void ac_pen_c(ac_pen *p, const char *text);
/* An added token of this spelling, or its spelling as text where the vocabulary has none. */
void ac_pen_token(ac_pen *p, const char *spelling);
void ac_pen_id(ac_pen *p, int32_t id);         /* -1: nothing */
void ac_pen_cut(ac_pen *p);
void ac_pen_at(ac_pen *p, int32_t message, uint8_t said);   /* cuts where either changes */

/* White space as Python's str.strip sees it. */
ac_view ac_chat_trim(ac_view v, bool left, bool right);

/* Tool calls of an assistant turn and results, in the frames of Qwen and Llama 3.1 (chat_tools.c). */
void ac_chat_qwen_calls(ac_pen *p, ac_view calls, bool after_text);
void ac_chat_llama_call(ac_pen *p, ac_view calls);
void ac_chat_json_string(ac_pen *p, ac_view text);

#endif
