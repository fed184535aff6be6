/* contract/schema_int.h - the table behind accord.yaml: one row a key (K1). */
#ifndef AC_CONTRACT_SCHEMA_INT_H
#define AC_CONTRACT_SCHEMA_INT_H

#include "contract/contract.h"

typedef enum { AC_KEY_STR, AC_KEY_INT, AC_KEY_F64, AC_KEY_BOOL, AC_KEY_ENUM, AC_KEY_TARGETS } ac_key_type;

typedef struct {
    const char *section, *name;
    ac_key_type type;
    size_t at;                 /* offset into ac_contract_values */
    const char *preset;        /* default as text; NULL: none (STR) or required */
    bool required;
    double min, max;           /* INT and F64, inclusive */
    const char *choices;       /* ENUM: "a|b|c" */
    const char *help;          /* one line, lower case */
} ac_key;

extern const ac_key ac_keys[];
extern const size_t ac_n_keys;

/* Sections in order, with the line that opens each. */
typedef struct {
    const char *name, *help;
} ac_section;
extern const ac_section ac_sections[];
extern const size_t ac_n_sections;

/* Index into ac_keys; ac_n_keys when there is none. */
size_t ac_key_find(ac_view section, ac_view name);
/* Does the key have its default in v? A key is added to this table with a default that does what was done before it, so a lock
 * that does not know the key seals the same as one in which it has that value. */
bool ac_key_at_preset(const ac_key *k, const ac_contract_values *v);
size_t ac_key_of_path(const char *path);              /* "method.rank" */
/* text is one of "a|b|c". */
bool ac_choice_in(const char *choices, ac_view text);
/* The nearest "section.name" to a wrong one, NULL when none is near. */
const char *ac_key_near(ac_view section, ac_view name, char *buf, size_t size);

/* ---- ignored.c: keys without effect under another choice (T7) ---- */

typedef struct {
    const char *key, *is;      /* "method.optimizer", "sgd|lion": the values under which ... */
} ac_ignored_when;
typedef struct {
    const char *key;           /* ... this key has no effect, when every condition holds */
    ac_ignored_when when[2];   /* the second may be empty */
} ac_ignored;
extern const ac_ignored ac_ignored_keys[];
extern const size_t ac_n_ignored_keys;

/* given: by key index, where it stands in text, NULL where it does not. AC_ECONTRACT names both lines. */
ac_status ac_contract_check_ignored(const ac_contract *c, ac_view text, const ac_json *const *given, ac_err *err);
/* "with method.packing: false", "without data.valid", "beside method.max_steps". */
void ac_ignored_cause(ac_str *out, const ac_ignored_when *w, const char *is);

#endif
