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
/* The nearest "section.name" to a wrong one, NULL when none is near. */
const char *ac_key_near(ac_view section, ac_view name, char *buf, size_t size);

#endif
