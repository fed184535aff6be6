#include "cli/opt.h"

#include <math.h>
#include <string.h>

#define NAMES_MAX 256
#define ARGS_MAX  1024

bool ac_opt_is_option(const ac_opt *o)
{
    return o->type != AC_OPT_TYPE_END && o->type != AC_OPT_TYPE_GROUP && o->type != AC_OPT_TYPE_ARG
           && o->type != AC_OPT_TYPE_ARGS;
}

const char *ac_opt_nearest(ac_view wrong, const char *const *names, size_t n)
{
    /* One wrong letter in a short word, two from four letters on (so that two swapped ones count),
     * three from eight on. */
    unsigned best = wrong.len < 4 ? 2 : wrong.len < 8 ? 3 : 4;
    const char *nearest = NULL;
    for (size_t i = 0; i < n; i++) {
        const ac_view name = ac_view_of(names[i]);
        const unsigned d = ac_edit_distance(wrong, name, best);
        if (d < best) {
            best = d;
            nearest = names[i];
        }
    }
    if (nearest || wrong.len < 3) return nearest;
    for (size_t i = 0; i < n; i++)                       /* --max for --max-tokens */
        if (ac_view_starts(ac_view_of(names[i]), wrong)) return names[i];
    return NULL;
}

static const ac_opt *find_long(ac_opt_tables tables, ac_view name)
{
    for (; *tables; tables++)
        for (const ac_opt *o = *tables; o->type != AC_OPT_TYPE_END; o++)
            if (ac_opt_is_option(o) && ac_view_eq_str(name, o->name)) return o;
    return NULL;
}

static const ac_opt *find_letter(ac_opt_tables tables, char letter)
{
    for (; *tables; tables++)
        for (const ac_opt *o = *tables; o->type != AC_OPT_TYPE_END; o++)
            if (ac_opt_is_option(o) && o->letter == letter) return o;
    return NULL;
}

static ac_status unknown_long(ac_opt_tables tables, ac_view name, const char *who, ac_err *err)
{
    const char *names[NAMES_MAX] = { "help" };
    size_t n = 1;
    for (; *tables; tables++)
        for (const ac_opt *o = *tables; o->type != AC_OPT_TYPE_END && n < NAMES_MAX; o++)
            if (ac_opt_is_option(o)) names[n++] = o->name;
    const char *near = ac_opt_nearest(name, names, n);
    if (near)
        return ac_fail(err, AC_EARG, "unknown option --" AC_VIEW_FMT "; did you mean --%s? See %s --help",
                       AC_VIEW_ARG(name), near, who);
    return ac_fail(err, AC_EARG, "unknown option --" AC_VIEW_FMT "; see %s --help", AC_VIEW_ARG(name),
                   who);
}

/* ---- values ---- */

static ac_status bad_value(const ac_opt *o, const char *text, const char *wanted, ac_err *err)
{
    return ac_fail(err, AC_EARG, "--%s: expected %s, found \"%s\"", o->name, wanted, text);
}

static ac_status out_of_range(const ac_opt *o, const char *text, ac_err *err)
{
    char lo[32], hi[32];
    ac_format_f64(lo, o->lo);
    ac_format_f64(hi, o->hi);
    if (isinf(o->hi))
        return ac_fail(err, AC_EARG, "--%s: must be at least %s, found \"%s\"", o->name, lo, text);
    return ac_fail(err, AC_EARG, "--%s: must be from %s to %s, found \"%s\"", o->name, lo, hi, text);
}

static bool in_range(const ac_opt *o, double v)
{
    return !(o->lo < o->hi) || (v >= o->lo && v <= o->hi);
}

static ac_status set_choice(const ac_opt *o, const char *text, ac_err *err)
{
    size_t n = 0;
    char all[256] = "";
    for (; o->choices[n]; n++) {
        if (strcmp(o->choices[n], text) == 0) {
            *o->to.choice = (int)n;
            return AC_OK;
        }
        const size_t used = strlen(all), more = strlen(o->choices[n]) + 2;
        if (used + more < sizeof all) {
            if (n) memcpy(all + used, ", ", 3);
            memcpy(all + strlen(all), o->choices[n], strlen(o->choices[n]) + 1);
        }
    }
    const char *near = ac_opt_nearest(ac_view_of(text), o->choices, n);
    return ac_fail(err, AC_EARG, "--%s: expected one of %s; found \"%s\"%s%s%s", o->name, all, text,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static ac_status set_list(const ac_opt *o, const char *text, ac_err *err)
{
    if (o->to.list->n == AC_OPT_LIST_MAX)
        return ac_fail(err, AC_EARG, "%s: given more than %d times", o->name, AC_OPT_LIST_MAX);
    o->to.list->item[o->to.list->n++] = text;
    return AC_OK;
}

static ac_status set_value(const ac_opt *o, const char *text, ac_err *err)
{
    const ac_view v = ac_view_of(text);
    switch (o->type) {
    case AC_OPT_TYPE_PATH:
        if (!v.len) return bad_value(o, text, "a path", err);
        *o->to.str = text;
        return AC_OK;
    case AC_OPT_TYPE_STR:
        *o->to.str = text;
        return AC_OK;
    case AC_OPT_TYPE_INT: {
        int64_t i;
        if (!ac_parse_i64(v, &i)) return bad_value(o, text, "a whole number", err);
        if (!in_range(o, (double)i)) return out_of_range(o, text, err);
        *o->to.i64 = i;
        return AC_OK;
    }
    case AC_OPT_TYPE_U64: {
        uint64_t u;
        if (!ac_parse_u64(v, &u)) return bad_value(o, text, "a whole number from 0", err);
        *o->to.u64 = u;
        return AC_OK;
    }
    case AC_OPT_TYPE_F64: {
        double d;
        if (!ac_parse_f64(v, &d)) return bad_value(o, text, "a number", err);
        if (!in_range(o, d)) return out_of_range(o, text, err);
        *o->to.f64 = d;
        return AC_OK;
    }
    case AC_OPT_TYPE_ENUM: return set_choice(o, text, err);
    case AC_OPT_TYPE_LIST: return set_list(o, text, err);
    case AC_OPT_TYPE_BOOL:
    case AC_OPT_TYPE_END:
    case AC_OPT_TYPE_GROUP:
    case AC_OPT_TYPE_ARG:
    case AC_OPT_TYPE_ARGS: break;
    }
    return ac_fail(err, AC_ESTATE, "--%s: takes no value", o->name);
}

/* ---- walking the command line ---- */

/* One pass over argv. Without `store` nothing is changed, and help is looked for. */
typedef struct {
    ac_opt_tables tables;
    int argc, i;
    char *const *argv;
    const char *who;
    bool store, help, stop_at_argument;
    const char *args[ARGS_MAX];
    size_t n_args;
    const ac_opt *seen[NAMES_MAX];
    size_t n_seen;
} walk;

static ac_status take(walk *w, const ac_opt *o, const char *text, ac_err *err)
{
    if (w->n_seen < NAMES_MAX) w->seen[w->n_seen++] = o;
    return w->store ? set_value(o, text, err) : AC_OK;
}

static void take_flag(walk *w, const ac_opt *o, bool on)
{
    if (w->store) *o->to.flag = on;
}

static bool all_digits(const char *text)
{
    return text[0] && text[strspn(text, "0123456789")] == '\0';
}

static ac_status take_long(walk *w, const char *arg, ac_err *err)
{
    const char *equals = strchr(arg, '=');
    const ac_view name = { arg, equals ? (size_t)(equals - arg) : strlen(arg) };
    if (!equals && ac_view_eq_str(name, "help")) {
        w->help = true;
        return AC_OK;
    }
    const ac_opt *o = find_long(w->tables, name);
    bool on = true;
    if (!o && ac_view_starts(name, AC_VIEW("no-"))) {
        o = find_long(w->tables, ac_view_slice(name, 3, name.len));
        if (o && o->type != AC_OPT_TYPE_BOOL) o = NULL;
        on = false;
    }
    if (!o) return unknown_long(w->tables, name, w->who, err);
    if (o->type == AC_OPT_TYPE_BOOL) {
        if (equals)
            return ac_fail(err, AC_EARG, "--%s takes no value; write --%s or --no-%s", o->name, o->name,
                           o->name);
        take_flag(w, o, on);
        return AC_OK;
    }
    if (equals) return take(w, o, equals + 1, err);
    if (o->implied && (w->i + 1 >= w->argc || !all_digits(w->argv[w->i + 1]))) return take(w, o, o->implied, err);
    if (w->i + 1 >= w->argc)
        return ac_fail(err, AC_EARG, "--%s needs a value; see %s --help", o->name, w->who);
    return take(w, o, w->argv[++w->i], err);
}

static ac_status take_letters(walk *w, const char *letters, ac_err *err)
{
    for (; *letters; letters++) {
        const ac_opt *o = find_letter(w->tables, *letters);
        if (!o && *letters == 'h') {
            w->help = true;
            continue;
        }
        if (!o) return ac_fail(err, AC_EARG, "unknown option -%c; see %s --help", *letters, w->who);
        if (o->type == AC_OPT_TYPE_BOOL) {
            take_flag(w, o, true);
            continue;
        }
        if (letters[1]) return take(w, o, letters + 1, err);
        if (w->i + 1 >= w->argc)
            return ac_fail(err, AC_EARG, "-%c needs a value; see %s --help", *letters, w->who);
        return take(w, o, w->argv[++w->i], err);
    }
    return AC_OK;
}

static ac_status walk_all(walk *w, ac_err *err)
{
    bool only_args = false;
    for (; w->i < w->argc; w->i++) {
        const char *arg = w->argv[w->i];
        ac_status st = AC_OK;
        if (only_args || arg[0] != '-' || !arg[1]) {
            if (w->stop_at_argument) return AC_OK;
            if (w->n_args == ARGS_MAX)
                return ac_fail(err, AC_EARG, "more than %d arguments", ARGS_MAX);
            w->args[w->n_args++] = arg;
        } else if (strcmp(arg, "--") == 0) {
            only_args = true;
        } else {
            st = arg[1] == '-' ? take_long(w, arg + 2, err) : take_letters(w, arg + 1, err);
        }
        if (st) return st;
    }
    return AC_OK;
}

bool ac_opt_wants_help(ac_opt_tables tables, int argc, char *const *argv, int first)
{
    walk w = { .tables = tables, .argc = argc, .argv = argv, .i = first, .who = "" };
    (void)walk_all(&w, NULL);
    return w.help;
}

static ac_status store_args(const walk *w, ac_err *err)
{
    size_t at = 0;
    for (ac_opt_tables t = w->tables; *t; t++)
        for (const ac_opt *o = *t; o->type != AC_OPT_TYPE_END; o++) {
            if (o->type != AC_OPT_TYPE_ARG && o->type != AC_OPT_TYPE_ARGS) continue;
            size_t n = 0;
            for (; n < o->max && at < w->n_args; n++, at++) {
                ac_status st = AC_OK;
                if (o->type == AC_OPT_TYPE_ARG) *o->to.str = w->args[at];
                else st = set_list(o, w->args[at], err);
                if (st) return st;
            }
            if (n < o->min)
                return ac_fail(err, AC_EARG, "argument %s is missing; see %s --help", o->name, w->who);
        }
    if (at < w->n_args)
        return ac_fail(err, AC_EARG, "unexpected argument \"%s\"; see %s --help", w->args[at], w->who);
    return AC_OK;
}

static bool was_seen(const walk *w, const ac_opt *o)
{
    for (size_t i = 0; i < w->n_seen; i++)
        if (w->seen[i] == o) return true;
    return false;
}

static ac_status check_required(const walk *w, ac_err *err)
{
    for (ac_opt_tables t = w->tables; *t; t++)
        for (const ac_opt *o = *t; o->type != AC_OPT_TYPE_END; o++)
            if (o->required && !was_seen(w, o))
                return ac_fail(err, AC_EARG, "--%s is missing; see %s --help", o->name, w->who);
    return AC_OK;
}

ac_status ac_opt_parse(ac_opt_tables tables, int argc, char *const *argv, int first, int *rest,
                       const char *who, ac_err *err)
{
    walk w = { .tables = tables, .argc = argc, .argv = argv, .i = first, .who = who, .store = true,
               .stop_at_argument = rest != NULL };
    ac_status st = walk_all(&w, err);
    if (st) return st;
    if (rest) {
        *rest = w.i;
        return AC_OK;
    }
    st = store_args(&w, err);
    return st ? st : check_required(&w, err);
}

/* ---- how an option is shown ---- */

void ac_opt_spelling(ac_str *out, const ac_opt *o)
{
    if (o->type == AC_OPT_TYPE_ARG || o->type == AC_OPT_TYPE_ARGS) {
        ac_str_append_c(out, o->name);
        return;
    }
    if (o->letter) ac_str_appendf(out, "-%c, ", o->letter);
    ac_str_appendf(out, o->type == AC_OPT_TYPE_BOOL ? "--[no-]%s" : "--%s", o->name);
    if (o->type == AC_OPT_TYPE_ENUM) {
        for (size_t i = 0; o->choices[i]; i++) ac_str_appendf(out, "%s%s", i ? "|" : " <", o->choices[i]);
        ac_str_append_char(out, '>');
    } else if (o->value) {
        ac_str_appendf(out, o->implied ? " [%s]" : " <%s>", o->value);
    }
}

void ac_opt_default(ac_str *out, const ac_opt *o)
{
    char number[32];
    if (o->type == AC_OPT_TYPE_ARG || o->type == AC_OPT_TYPE_ARGS) return;
    if (o->required) {
        ac_str_append_c(out, "(required)");
        return;
    }
    ac_str_append_c(out, "(default: ");
    switch (o->type) {
    case AC_OPT_TYPE_PATH:
    case AC_OPT_TYPE_STR: ac_str_append_c(out, *o->to.str ? *o->to.str : "none"); break;
    case AC_OPT_TYPE_INT: ac_str_appendf(out, "%lld", (long long)*o->to.i64); break;
    case AC_OPT_TYPE_U64: ac_str_appendf(out, "%llu", (unsigned long long)*o->to.u64); break;
    case AC_OPT_TYPE_F64:
        ac_format_f64(number, *o->to.f64);
        ac_str_append_c(out, number);
        break;
    case AC_OPT_TYPE_BOOL: ac_str_append_c(out, *o->to.flag ? "on" : "off"); break;
    case AC_OPT_TYPE_ENUM: ac_str_append_c(out, o->choices[*o->to.choice]); break;
    case AC_OPT_TYPE_LIST:
        for (size_t i = 0; i < o->to.list->n; i++)
            ac_str_appendf(out, "%s%s", i ? "," : "", o->to.list->item[i]);
        if (!o->to.list->n) ac_str_append_c(out, "none; may be given again");
        break;
    case AC_OPT_TYPE_END:
    case AC_OPT_TYPE_GROUP:
    case AC_OPT_TYPE_ARG:
    case AC_OPT_TYPE_ARGS: break;
    }
    ac_str_append_char(out, ')');
}

void ac_opt_usage(ac_str *out, ac_opt_tables tables)
{
    ac_str_append_c(out, " [options]");
    for (; *tables; tables++)
        for (const ac_opt *o = *tables; o->type != AC_OPT_TYPE_END; o++)
            if (o->type == AC_OPT_TYPE_ARG || o->type == AC_OPT_TYPE_ARGS)
                ac_str_appendf(out, o->min ? " %s%s" : " [%s%s]", o->name, o->max > 1 ? "..." : "");
}
