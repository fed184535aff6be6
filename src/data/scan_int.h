/* scan_int.h - rules, keywords and detectors of the scanner. */
#ifndef AC_DATA_SCAN_INT_H
#define AC_DATA_SCAN_INT_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "data/data_int.h"
#include "data/scan.h"

/* ---- keywords: which of many words stand in a text, letters of any case (Aho-Corasick as one table) ---- */
typedef struct {
    uint8_t class_of[256];     /* bytes that are in no keyword share class 0 */
    unsigned n_classes;
    uint16_t *next;            /* state * n_classes + class */
    uint16_t *found;           /* state: first keyword that ends here plus one; 0: none */
    uint16_t *also;            /* state: a shorter one that ends here too; 0: none */
    uint32_t *word_rules;      /* per keyword: first of its entries in rule_of */
    uint32_t *rule_of;         /* rules, plus one; 0 ends a keyword's list */
    size_t n_words, n_states;
} scan_words;
typedef struct {
    ac_view word;
    uint32_t rule;
} scan_word;
/* Keywords may repeat for several rules; list is sorted in place. */
ac_status ac_scan_words_build(scan_words *w, scan_word *list, size_t n, ac_arena *a, ac_err *err);
/* Sets on[rule] for every rule with a keyword in text. true: any. */
bool      ac_scan_words_mark(const scan_words *w, ac_view text, uint8_t *on);

/* ---- rules ---- */
typedef enum { SCAN_TARGET_SECRET, SCAN_TARGET_MATCH, SCAN_TARGET_LINE } scan_target;
typedef struct {
    pcre2_code **re, **path;
    ac_view *stop, *only_rules;        /* stop words in lower case; rules that it is for, none: all */
    size_t n_re, n_path, n_stop, n_only;
    scan_target target;
    bool all;                          /* condition AND */
    bool commits;                      /* names commits, which rows have none of */
} scan_allow;

typedef struct {
    const char *id;
    pcre2_code *re, *path;             /* re NULL: the path alone decides */
    uint32_t group;
    double entropy;                    /* of the secret, bits a character, must be over it; 0: any */
    double score;
    bool builtin, needs_digit, silent;
    bool has_keywords;
    scan_allow *allow;
    size_t n_allow;
} scan_rule;

typedef struct scan_code scan_code;
struct scan_code {
    pcre2_code *code;
    scan_code *next;
};

struct ac_scanner {
    ac_arena arena;
    pcre2_general_context *general;
    pcre2_compile_context *compile;
    pcre2_match_context *limits;
    scan_code *codes;
    scan_rule *rule;
    size_t n_rules;
    scan_allow *allow;                 /* for all rules */
    size_t n_allow;
    scan_words words;
    scan_word *word;                   /* while rules are read */
    size_t n_words, cap_words, cap_rules;
};

/* pattern is Go's (RE2), translated; where names the rule. */
ac_status ac_scan_compile(ac_scanner *s, pcre2_code **out, ac_view pattern, const char *where, ac_err *err);
ac_status ac_scan_go_regex(ac_str *out, ac_view go, const char *where, ac_err *err);
/* A new rule at the end; views must outlive the scanner. NULL: out of memory. */
scan_rule *ac_scan_rule_add(ac_scanner *s);
ac_status ac_scan_keyword_add(ac_scanner *s, ac_view word, size_t rule, ac_err *err);
ac_status ac_scan_rules_builtin(ac_scanner *s, ac_err *err);
/* The built-in rules too when the file extends the default ones. */
ac_status ac_scan_rules_read(ac_scanner *s, const char *path, ac_err *err);

/* ---- hits ---- */
typedef struct {
    ac_scan_hit *hit;
    size_t n, cap;
} scan_hits;
ac_status ac_scan_hits_add(scan_hits *h, const ac_scan_hit *x, ac_err *err);
ac_status ac_scan_secrets(const ac_scanner *s, const char *path, ac_view text, scan_hits *out, ac_err *err);
ac_status ac_scan_personal(ac_view text, scan_hits *out, ac_err *err);

/* ---- numbers by form and check digits ---- */
typedef struct {
    size_t from, to;
    const char *entity;
    double score;
} scan_span;
/* A number whose first digit is text[at]. */
bool ac_scan_number(ac_view text, size_t at, scan_span *out);
bool ac_scan_phone(ac_view text, size_t at, scan_span *out);
/* One of the words (separated by |) as a whole word within `window` bytes before `at`, or behind it. */
bool ac_scan_before(ac_view text, size_t at, size_t window, const char *words);
bool ac_scan_after(ac_view text, size_t at, size_t window, const char *words);

bool ac_check_luhn(ac_view digits);
bool ac_check_iban(ac_view compact);                 /* without blanks, upper case */
bool ac_check_base58(ac_view address);               /* Bitcoin's, with its checksum */
bool ac_check_bech32(ac_view address);
bool ac_check_nhs(ac_view ten_digits);
bool ac_check_dea(ac_view nine);                     /* two letters, seven digits */
bool ac_check_nif(ac_view nine);                     /* eight digits and a letter */
bool ac_check_codice_fiscale(ac_view sixteen);
bool ac_check_aba(ac_view nine_digits);

static inline bool scan_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool scan_upper(char c) { return c >= 'A' && c <= 'Z'; }
static inline bool scan_alpha(char c) { return (c >= 'a' && c <= 'z') || scan_upper(c); }
static inline bool scan_alnum(char c) { return scan_digit(c) || scan_alpha(c); }
static inline bool scan_hex(char c) { return scan_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
static inline bool scan_wordc(char c) { return scan_alnum(c) || c == '_'; }
/* No letter, digit or _ touches the span from outside. */
static inline bool scan_edges(ac_view t, size_t from, size_t to)
{
    return (from == 0 || !scan_wordc(t.ptr[from - 1])) && (to >= t.len || !scan_wordc(t.ptr[to]));
}

#endif
