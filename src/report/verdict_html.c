/* The verdict's tables: arms, comparisons, cases side by side. */
#include "report/report_int.h"

static const char *const classes[] = { "success", "refusal", "edge" };

static bool is_true(const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_BOOL && v->boolean;
}

static void mark(ac_str *out, bool ok)
{
    ac_str_append_c(out, ok ? "&#10003;" : "&#10007;");
}

static void one_arm(ac_str *out, const ac_json *a, const ac_json *total)
{
    const double n = ac_json_number_or(a, "cases", 0), k = ac_json_number_or(a, "passed", 0);
    const double low = 100 * ac_json_number_or(a, "wilson_low", 0), high = 100 * ac_json_number_or(a, "wilson_high", 1);
    const ac_json *by = ac_json_get(a, "passed_by_class");
    ac_str_append_c(out, "<tr><td><b>");
    ac_html_text(out, ac_json_text_or(a, "arm", "?"));
    ac_str_appendf(out, "</b></td><td class=\"num\">%.0f / %.0f</td><td><svg class=\"bar\" viewBox=\"0 0 300 18\">"
                   "<rect class=\"back\" x=\"0\" y=\"4\" width=\"300\" height=\"10\"/>"
                   "<rect class=\"fill\" x=\"0\" y=\"4\" width=\"%.1f\" height=\"10\"/>"
                   "<line class=\"ci\" x1=\"%.1f\" x2=\"%.1f\" y1=\"9\" y2=\"9\"/><title>%.1f %% to %.1f %%</title></svg>"
                   " %.0f&ndash;%.0f&nbsp;%%</td>", k, n, n > 0 ? 300 * k / n : 0, 3 * low, 3 * high, low, high, low, high);
    for (size_t i = 0; i < AC_COUNTOF(classes); i++)
        ac_str_appendf(out, "<td class=\"num\">%.0f / %.0f</td>", ac_json_number_or(by, classes[i], 0),
                       ac_json_number_or(total, classes[i], 0));
    ac_str_appendf(out, "<td class=\"num\">%.1f</td></tr>\n", ac_json_number_or(a, "seconds", 0));
}

void ac_html_arms(ac_str *out, const ac_json *verdict)
{
    const ac_json *arms = ac_json_get(verdict, "arms");
    ac_str_append_c(out, "<table><thead><tr><th>arm</th><th class=\"num\">passed</th><th>of all cases, with its 95&nbsp;% "
                         "Wilson interval</th>");
    for (size_t i = 0; i < AC_COUNTOF(classes); i++) ac_str_appendf(out, "<th class=\"num\">%s</th>", classes[i]);
    ac_str_append_c(out, "<th class=\"num\">seconds</th></tr></thead><tbody>\n");
    for (const ac_json *a = arms ? arms->child : NULL; a; a = a->next) one_arm(out, a, ac_json_get(verdict, "classes"));
    ac_str_append_c(out, "</tbody></table>\n");
}

void ac_html_comparisons(ac_str *out, const ac_json *verdict)
{
    const ac_json *list = ac_json_get(verdict, "comparisons"), *says = ac_json_get(verdict, "sentences");
    ac_str_append_c(out, "<table><thead><tr><th>comparison</th><th class=\"num\">wins</th><th class=\"num\">losses</th>"
                         "<th class=\"num\">ties</th><th class=\"num\">net points</th><th class=\"num\">mid-p (Holm)</th>"
                         "<th>outcome</th><th>because</th></tr></thead><tbody>\n");
    for (const ac_json *c = list ? list->child : NULL; c; c = c->next) {
        ac_str_append_c(out, "<tr><td><b>");
        ac_html_text(out, ac_json_text_or(c, "arm", "?"));
        ac_str_append_c(out, "</b> against ");
        ac_html_text(out, ac_json_text_or(c, "against", "?"));
        ac_str_appendf(out, "</td><td class=\"num\">%.0f</td><td class=\"num\">%.0f</td><td class=\"num\">%.0f</td>"
                       "<td class=\"num\">%+.1f</td><td class=\"num\">%.2g</td><td>", ac_json_number_or(c, "wins", 0),
                       ac_json_number_or(c, "losses", 0), ac_json_number_or(c, "ties", 0),
                       ac_json_number_or(c, "net_points", 0), ac_json_number_or(c, "holm_p", 1));
        ac_html_text(out, ac_json_text_or(c, "outcome", "?"));
        ac_str_append_c(out, "</td><td>");
        ac_html_text(out, ac_json_text_or(c, "reason", ""));
        ac_str_append_c(out, "</td></tr>\n");
    }
    ac_str_append_c(out, "</tbody></table>\n<ul>\n");
    for (const ac_json *s = says ? says->child : NULL; s; s = s->next) {
        ac_str_append_c(out, "<li>");
        ac_html_text(out, s->text);
        ac_str_append_c(out, "</li>\n");
    }
    ac_str_append_c(out, "</ul>\n");
}

/* ---- cases ------------------------------------------------------------------------------------------------ */

static void one_answer(ac_str *out, const ac_json *a)
{
    const ac_json *passages = ac_json_get(a, "passages");
    const bool ok = is_true(a, "pass");
    ac_str_appendf(out, "<div class=\"answer %s\"><div class=\"arm\">", ok ? "pass" : "fail");
    mark(out, ok);
    ac_str_append_char(out, ' ');
    ac_html_text(out, a->key);
    ac_str_append_c(out, "</div><pre>");
    ac_html_text(out, ac_json_text_or(a, "text", ""));
    if (is_true(a, "cut")) ac_str_append_c(out, "<i> &hellip;cut at max_tokens</i>");
    ac_str_append_c(out, "</pre><div class=\"why\">");
    ac_html_text(out, ac_json_text_or(a, "why", ""));
    for (const ac_json *p = passages ? passages->child : NULL; p; p = p->next) {
        ac_str_append_c(out, p == passages->child ? "<br>read: " : "; ");
        ac_html_text(out, ac_json_text_or(p, "source", "?"));
        ac_str_appendf(out, " #%.0f", ac_json_number_or(p, "chunk", 0));
    }
    ac_str_append_c(out, "</div></div>\n");
}

static void case_line(ac_str *out, const ac_json *c)
{
    const ac_json *turns = ac_json_get(c, "turns"), *answers = ac_json_get(c, "answers");
    ac_str_append_c(out, "<summary><b>");
    ac_html_text(out, ac_json_text_or(c, "id", "?"));
    ac_str_append_c(out, "</b> <span class=\"cls\">");
    ac_html_text(out, ac_json_text_or(c, "class", "?"));
    ac_str_append_c(out, "</span> ");
    for (const ac_json *a = answers ? answers->child : NULL; a; a = a->next) {
        ac_str_appendf(out, "<span class=\"mark %s\">", is_true(a, "pass") ? "pass" : "fail");
        mark(out, is_true(a, "pass"));
        ac_str_append_c(out, "</span>");
    }
    for (const ac_json *t = turns ? turns->child : NULL; t; t = t->next) {
        if (t->next) continue;
        ac_str_append_c(out, " ");
        ac_html_text(out, ac_json_text_or(t, "content", ""));
    }
    ac_str_append_c(out, "</summary>\n");
}

static void one_turn(ac_str *out, ac_view role, ac_view text, bool code)
{
    ac_str_append_c(out, "<p class=\"turn\"><span class=\"role\">");
    ac_html_text(out, role);
    ac_str_append_c(out, code ? "</span> <code>" : "</span> ");
    ac_html_text(out, text);
    ac_str_append_c(out, code ? "</code></p>\n" : "</p>\n");
}

static void one_case(ac_str *out, const ac_json *c)
{
    const ac_json *turns = ac_json_get(c, "turns"), *answers = ac_json_get(c, "answers");
    ac_str_append_c(out, "<details class=\"case\">");
    case_line(out, c);
    for (const ac_json *t = turns ? turns->child : NULL; t; t = t->next)
        one_turn(out, ac_json_text_or(t, "role", "?"), ac_json_text_or(t, "content", ""), false);
    if (ac_json_get(c, "ideal")) one_turn(out, AC_VIEW("reference"), ac_json_text_or(c, "ideal", ""), true);
    ac_str_append_c(out, "<div class=\"answers\">\n");
    for (const ac_json *a = answers ? answers->child : NULL; a; a = a->next) one_answer(out, a);
    ac_str_append_c(out, "</div></details>\n");
}

void ac_html_cases(ac_str *out, const ac_json *verdict)
{
    const ac_json *list = ac_json_get(verdict, "by_case"), *arms = ac_json_get(verdict, "arms");
    ac_str_append_c(out, "<p class=\"note\">Marks stand for the arms in this order: ");
    for (const ac_json *a = arms ? arms->child : NULL; a; a = a->next) {
        if (a != arms->child) ac_str_append_c(out, ", ");
        ac_html_text(out, ac_json_text_or(a, "arm", "?"));
    }
    ac_str_append_c(out, ". Open a case to see what each arm said and why it passed or failed.</p>\n");
    for (const ac_json *c = list ? list->child : NULL; c; c = c->next) one_case(out, c);
}
