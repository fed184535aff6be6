/* cli/opt.h - typed option tables: one table makes parser, --help and man page.
 *
 * O1  A table is static; its values are the command's own variables, and their values before parsing are the
 *     defaults that help shows.
 * O2  `--name value`, `--name=value`, `-n value`, `-nvalue`; booleans are `--name` and `--no-name`; `--`
 *     ends the options; options and arguments may be mixed. The last one given wins; lists collect.
 * O3  An unknown option is AC_EARG and names the nearest one that exists. */
#ifndef AC_CLI_OPT_H
#define AC_CLI_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

typedef enum {
    AC_OPT_TYPE_END, AC_OPT_TYPE_GROUP, AC_OPT_TYPE_PATH, AC_OPT_TYPE_STR, AC_OPT_TYPE_INT,
    AC_OPT_TYPE_U64, AC_OPT_TYPE_F64, AC_OPT_TYPE_BOOL, AC_OPT_TYPE_ENUM, AC_OPT_TYPE_LIST,
    AC_OPT_TYPE_ARG, AC_OPT_TYPE_ARGS
} ac_opt_type;

#define AC_OPT_LIST_MAX 64
typedef struct {
    const char *item[AC_OPT_LIST_MAX];
    size_t n;
} ac_opt_list;

typedef struct {
    ac_opt_type type;
    char letter;                      /* 0: none */
    const char *name;                 /* without dashes; a group's title; an argument's name */
    union {
        const char **str;             /* PATH, STR, ARG */
        int64_t *i64;
        uint64_t *u64;
        double *f64;
        bool *flag;
        int *choice;                  /* ENUM: index into choices */
        ac_opt_list *list;            /* LIST, ARGS */
    } to;
    const char *value;                /* what stands for the value in help: "file" */
    const char *help;                 /* lower-case, no full stop */
    bool required;
    double lo, hi;                    /* INT, U64, F64: allowed range, when lo < hi */
    const char *const *choices;       /* ENUM: NULL at the end */
    size_t min, max;                  /* ARG, ARGS: how many */
    const char *implied;              /* INT: the value when none is given; digits that follow are one */
} ac_opt;

#define AC_OPT_GROUP(title) { .type = AC_OPT_TYPE_GROUP, .name = (title) }
#define AC_OPT_PATH(l, n, p, v, h) \
    { .type = AC_OPT_TYPE_PATH, .letter = (l), .name = (n), .to.str = (p), .value = (v), .help = (h) }
#define AC_OPT_PATH_REQ(l, n, p, v, h) \
    { .type = AC_OPT_TYPE_PATH, .letter = (l), .name = (n), .to.str = (p), .value = (v), .help = (h), \
      .required = true }
#define AC_OPT_STR(l, n, p, v, h) \
    { .type = AC_OPT_TYPE_STR, .letter = (l), .name = (n), .to.str = (p), .value = (v), .help = (h) }
#define AC_OPT_INT(l, n, p, low, high, v, h) \
    { .type = AC_OPT_TYPE_INT, .letter = (l), .name = (n), .to.i64 = (p), .value = (v), .help = (h), \
      .lo = (low), .hi = (high) }
#define AC_OPT_INT_OR(l, n, p, low, high, without, v, h) \
    { .type = AC_OPT_TYPE_INT, .letter = (l), .name = (n), .to.i64 = (p), .value = (v), .help = (h), \
      .lo = (low), .hi = (high), .implied = (without) }
#define AC_OPT_U64(l, n, p, v, h) \
    { .type = AC_OPT_TYPE_U64, .letter = (l), .name = (n), .to.u64 = (p), .value = (v), .help = (h) }
#define AC_OPT_F64(l, n, p, low, high, v, h) \
    { .type = AC_OPT_TYPE_F64, .letter = (l), .name = (n), .to.f64 = (p), .value = (v), .help = (h), \
      .lo = (low), .hi = (high) }
#define AC_OPT_BOOL(l, n, p, h) \
    { .type = AC_OPT_TYPE_BOOL, .letter = (l), .name = (n), .to.flag = (p), .help = (h) }
#define AC_OPT_ENUM(l, n, p, names, h) \
    { .type = AC_OPT_TYPE_ENUM, .letter = (l), .name = (n), .to.choice = (p), .choices = (names), \
      .help = (h) }
#define AC_OPT_LIST(l, n, p, v, h) \
    { .type = AC_OPT_TYPE_LIST, .letter = (l), .name = (n), .to.list = (p), .value = (v), .help = (h) }
#define AC_OPT_ARG(n, p, h) \
    { .type = AC_OPT_TYPE_ARG, .name = (n), .to.str = (p), .help = (h), .min = 1, .max = 1 }
#define AC_OPT_ARG_OPTIONAL(n, p, h) \
    { .type = AC_OPT_TYPE_ARG, .name = (n), .to.str = (p), .help = (h), .min = 0, .max = 1 }
#define AC_OPT_ARGS(n, p, least, most, h) \
    { .type = AC_OPT_TYPE_ARGS, .name = (n), .to.list = (p), .help = (h), .min = (least), .max = (most) }
#define AC_OPT_END { .type = AC_OPT_TYPE_END }

/* Several tables in order; NULL at the end of the array. */
typedef const ac_opt *const *ac_opt_tables;

/* Looks for --help or -h where an option may stand; stores nothing. first: index to begin at. */
bool ac_opt_wants_help(ac_opt_tables tables, int argc, char *const *argv, int first);

/* Parses argv[first..). who names the command in messages ("accord score"). With `rest`, parsing stops at
 * the first argument that is no option and *rest is its index (argc when there is none). */
ac_status ac_opt_parse(ac_opt_tables tables, int argc, char *const *argv, int first, int *rest,
                       const char *who, ac_err *err);

bool ac_opt_is_option(const ac_opt *o);    /* neither group, argument nor end */
/* "-d, --data <file>" and, in parentheses, "(default: none)" or "(required)". */
void ac_opt_spelling(ac_str *out, const ac_opt *o);
void ac_opt_default(ac_str *out, const ac_opt *o);
/* " [options] FILE..." */
void ac_opt_usage(ac_str *out, ac_opt_tables tables);

/* The nearest of n names, NULL when none is near: "did you mean". */
const char *ac_opt_nearest(ac_view wrong, const char *const *names, size_t n);

#endif
