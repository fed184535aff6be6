/* What accord.yaml names and where: files that are not there, and keys whose fault shows only beside rows, cases or model. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "contract/schema_int.h"

#define A_ROW  "{\"prompt\":\"...\",\"completion\":\"...\"} or {\"messages\":[...]}"
#define A_CASE "{\"id\":\"q1\",\"class\":\"success\",\"input\":\"...\",\"ideal\":\"...\"}"

bool ac_contract_gives(const ac_contract *c, const char *key)
{
    const size_t k = ac_key_of_path(key);
    return c->place && k < ac_n_keys && c->place[k].line;
}

ac_status ac_contract_refuse(const ac_contract *c, const char *key, ac_err *err, const char *fmt, ...)
{
    char text[AC_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!ac_contract_gives(c, key)) return ac_fail(err, AC_ECONTRACT, "%s: %s", c->path, text);
    const ac_contract_place *p = &c->place[ac_key_of_path(key)];
    return ac_fail(err, AC_ECONTRACT, "%s:%u:%u: %s", c->path, (unsigned)p->line, (unsigned)p->column, text);
}

/* What is to be written where rows or cases are missing, for whoever has just run accord init. */
static void how(ac_str *s, bool rows, bool cases)
{
    if (rows) ac_str_append_c(s, "rows are lines like " A_ROW);
    if (rows && cases) ac_str_append_c(s, ", ");
    if (cases) ac_str_append_c(s, "cases (30 or more, 5 or more each of success, refusal and edge) lines like " A_CASE);
    if (rows || cases) ac_str_append_c(s, "; ");
}

ac_status ac_contract_files(ac_contract *c, unsigned which, ac_err *err)
{
    const struct {
        const char *key, *path;
        unsigned is;
    } file[] = {
        { "data.train", c->v.train, AC_NAMES_TRAIN }, { "data.valid", c->v.valid, AC_NAMES_VALID },
        { "eval.cases", c->v.cases, AC_NAMES_CASES }, { "eval.docs", c->v.docs, AC_NAMES_OTHERS },
        { "eval.database", c->v.database, AC_NAMES_OTHERS }, { "data.secret_rules", c->v.secret_rules, AC_NAMES_OTHERS },
    };
    ac_str s = { 0 };
    size_t n = 0;
    unsigned missing = 0;
    for (size_t i = 0; i < AC_COUNTOF(file); i++) {
        if (!file[i].path || !(file[i].is & which)) continue;
        const char *full = ac_contract_path(c, file[i].path);
        if (!full) return ac_fail_nomem(err, strlen(file[i].path));
        if (ac_path_exists(full)) continue;
        ac_str_appendf(&s, "%s%s: %s", n++ ? ", " : "", file[i].key, full);
        missing |= file[i].is;
    }
    if (n) {
        ac_str_append_c(&s, n == 1 ? ": no such file; " : ": no such files; ");
        how(&s, (missing & (AC_NAMES_TRAIN | AC_NAMES_VALID)) != 0, (missing & AC_NAMES_CASES) != 0);
        ac_str_appendf(&s, "write %s, or name %s in %s", n == 1 ? "it" : "them", n == 1 ? "another" : "others", c->path);
    }
    const ac_status st = !ac_str_ok(&s) ? ac_fail_nomem(err, s.len) : n ? ac_fail(err, AC_ENOENT, "%s", ac_str_c(&s)) : AC_OK;
    ac_str_release(&s);
    return st;
}
