#include "cli/timing.h"

void ac_timing_text(ac_str *out, const ac_cli *cli, const ac_run_void *v)
{
    for (size_t i = 0; i < v->n; i++) {
        ac_str_append_c(out, i ? "; " : "VOID for timing claims: ");
        ac_cli_foreign(out, cli, ac_view_of(v->why[i]));
    }
}

void ac_timing_json(ac_jw *w, const ac_run_void *v)
{
    ac_jw_object(w, "timing");
    ac_jw_bool(w, "void", v->n > 0);
    ac_jw_array(w, "why");
    for (size_t i = 0; i < v->n; i++) ac_jw_cstr(w, NULL, v->why[i]);
    ac_jw_end_array(w);
    ac_jw_end_object(w);
}
