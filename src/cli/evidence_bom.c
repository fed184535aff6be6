/* bom.cdx.json: a CycloneDX 1.6 bill of materials with a model card. */
#include <stdio.h>
#include <string.h>

#include "cli/evidence.h"

static void hashes(ac_jw *w, ac_view hex)
{
    if (hex.len != 64) return;
    ac_jw_array(w, "hashes");
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "alg", "SHA-256");
    ac_jw_str(w, "content", hex);
    ac_jw_end_object(w);
    ac_jw_end_array(w);
}

static void property(ac_jw *w, const char *name, ac_view value)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "name", name);
    ac_jw_str(w, "value", value);
    ac_jw_end_object(w);
}

static bool is_dataset(ac_view key)
{
    return ac_view_starts(key, AC_VIEW("data.")) || ac_view_starts(key, AC_VIEW("eval."));
}

static void serial(char out[64], const ac_evidence *e)
{
    ac_sha256_state st;
    ac_sha256 h;
    ac_sha256_init(&st);
    ac_sha256_add(&st, e->id, strlen(e->id));
    ac_sha256_add(&st, e->lock_hex, 64);
    ac_sha256_add(&st, e->utc, strlen(e->utc));
    ac_sha256_done(&st, &h);
    h.byte[6] = (uint8_t)((h.byte[6] & 0x0f) | 0x50);           /* a UUID made of a name's hash */
    h.byte[8] = (uint8_t)((h.byte[8] & 0x3f) | 0x80);
    size_t n = (size_t)snprintf(out, 64, "urn:uuid:");
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) out[n++] = '-';
        n += (size_t)snprintf(out + n, 64 - n, "%02x", h.byte[i]);
    }
}

static void metrics(ac_jw *w, const ac_evidence *e)
{
    const ac_json *arms = ac_json_get(e->verdict, "arms");
    char text[32];
    ac_jw_object(w, "quantitativeAnalysis");
    ac_jw_array(w, "performanceMetrics");
    for (const ac_json *a = arms ? arms->child : NULL; a; a = a->next) {
        const double n = ac_ev_number(a, "cases", 0);
        if (n <= 0) continue;
        ac_jw_object(w, NULL);
        ac_jw_cstr(w, "type", "pass rate");
        (void)snprintf(text, sizeof text, "%.4f", ac_ev_number(a, "passed", 0) / n);
        ac_jw_cstr(w, "value", text);
        ac_jw_str(w, "slice", ac_ev_text(a, "arm", "?"));
        ac_jw_object(w, "confidenceInterval");
        (void)snprintf(text, sizeof text, "%.4f", ac_ev_number(a, "wilson_low", 0));
        ac_jw_cstr(w, "lowerBound", text);
        (void)snprintf(text, sizeof text, "%.4f", ac_ev_number(a, "wilson_high", 1));
        ac_jw_cstr(w, "upperBound", text);
        ac_jw_end_object(w);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
    ac_jw_end_object(w);
}

static void model_card(ac_jw *w, const ac_evidence *e)
{
    const ac_json *sealed = ac_json_get(e->lock, "sealed"), *says = ac_json_get(e->verdict, "sentences");
    ac_jw_object(w, "modelCard");
    ac_jw_object(w, "modelParameters");
    ac_jw_object(w, "approach");
    ac_jw_cstr(w, "type", "supervised");
    ac_jw_end_object(w);
    ac_jw_cstr(w, "task", "text-generation");
    ac_jw_cstr(w, "architectureFamily", "transformer");
    ac_jw_array(w, "datasets");
    for (const ac_json *c = sealed ? sealed->child : NULL; c; c = c->next) {
        if (!is_dataset(c->key)) continue;
        ac_jw_object(w, NULL);
        ac_jw_str(w, "ref", c->key);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
    ac_jw_end_object(w);
    metrics(w, e);
    ac_jw_object(w, "considerations");
    ac_jw_array(w, "technicalLimitations");
    for (const ac_json *t = says ? says->child : NULL; t; t = t->next) ac_jw_str(w, NULL, t->text);
    ac_jw_end_array(w);
    ac_jw_end_object(w);
    ac_jw_array(w, "properties");
    property(w, "accord:verdict", ac_ev_text(e->verdict, "verdict", "?"));
    property(w, "accord:lock", ac_view_of(e->lock_hex));
    property(w, "accord:adapter_sha256", ac_ev_text(e->run, "adapter_sha256", ""));
    property(w, "accord:trace_sha256", ac_ev_text(e->run, "trace_sha256", ""));
    property(w, "accord:audit_head", ac_view_of(e->head));
    ac_jw_end_array(w);
    ac_jw_end_object(w);
}

static void main_component(ac_jw *w, const ac_evidence *e)
{
    const ac_json *method = ac_ev_get(e->lock, "values", "method");
    ac_jw_object(w, "component");
    ac_jw_cstr(w, "type", "machine-learning-model");
    ac_jw_cstr(w, "bom-ref", "model");
    ac_jw_cstr(w, "name", e->id);
    ac_jw_cstr(w, "version", e->id);
    ac_str text = { 0 };
    ac_str_append_c(&text, "fine-tuned (");
    ac_str_append(&text, ac_ev_text(method, "tune", "?"));
    ac_str_append_c(&text, ") from ");
    ac_str_append(&text, ac_ev_text(ac_ev_get(e->lock, "values", "base"), "model", "?"));
    ac_jw_str(w, "description", ac_str_view(&text));
    if (!ac_str_ok(&text)) w->out->failed = true;
    ac_str_release(&text);
    ac_jw_object(w, "pedigree");
    ac_jw_array(w, "ancestors");
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "type", "machine-learning-model");
    ac_jw_str(w, "name", ac_ev_text(ac_ev_get(e->lock, "values", "base"), "model", "?"));
    hashes(w, ac_ev_text(ac_ev_get(e->lock, "sealed", "base.model"), "sha256", ""));
    ac_jw_end_object(w);
    ac_jw_end_array(w);
    ac_jw_end_object(w);
    ac_jw_array(w, "components");
    for (const ac_json *f = e->adapter->child; f; f = f->next) {
        ac_jw_object(w, NULL);
        ac_jw_cstr(w, "type", "file");
        ac_str name = { 0 };
        ac_str_appendf(&name, "%s/" AC_VIEW_FMT, e->folder, AC_VIEW_ARG(f->key));
        ac_jw_str(w, "name", ac_str_view(&name));
        if (!ac_str_ok(&name)) w->out->failed = true;
        ac_str_release(&name);
        hashes(w, f->text);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
    model_card(w, e);
    ac_jw_end_object(w);
}

/* The base and every sealed input. */
static void components(ac_jw *w, const ac_evidence *e)
{
    const ac_json *sealed = ac_json_get(e->lock, "sealed");
    ac_jw_array(w, "components");
    for (const ac_json *c = sealed ? sealed->child : NULL; c; c = c->next) {
        const bool data = is_dataset(c->key), base = ac_view_eq_str(c->key, "base.model");
        if (!data && !base) continue;
        ac_jw_object(w, NULL);
        ac_jw_cstr(w, "type", data ? "data" : "machine-learning-model");
        ac_jw_str(w, "bom-ref", c->key);
        ac_jw_str(w, "name", ac_ev_text(c, "path", "?"));
        hashes(w, ac_ev_text(c, "sha256", ""));
        if (data) {
            ac_jw_array(w, "data");
            ac_jw_object(w, NULL);
            ac_jw_cstr(w, "type", "dataset");
            ac_jw_str(w, "name", c->key);
            ac_jw_end_object(w);
            ac_jw_end_array(w);
        }
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
    ac_jw_array(w, "dependencies");
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "ref", "model");
    ac_jw_array(w, "dependsOn");
    for (const ac_json *c = sealed ? sealed->child : NULL; c; c = c->next)
        if (is_dataset(c->key) || ac_view_eq_str(c->key, "base.model")) ac_jw_str(w, NULL, c->key);
    ac_jw_end_array(w);
    ac_jw_end_object(w);
    ac_jw_end_array(w);
}

ac_status ac_ev_bom(ac_evidence *e, ac_err *err)
{
    ac_str s = { 0 };
    ac_jw w;
    char uuid[64];
    serial(uuid, e);
    ac_jw_init(&w, &s, true);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "$schema", "http://cyclonedx.org/schema/bom-1.6.schema.json");
    ac_jw_cstr(&w, "bomFormat", "CycloneDX");
    ac_jw_cstr(&w, "specVersion", "1.6");
    ac_jw_cstr(&w, "serialNumber", uuid);
    ac_jw_u64(&w, "version", 1);
    ac_jw_object(&w, "metadata");
    ac_jw_cstr(&w, "timestamp", e->utc);
    ac_jw_object(&w, "tools");
    ac_jw_array(&w, "components");
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "type", "application");
    ac_jw_cstr(&w, "name", "accord");
    ac_jw_cstr(&w, "version", ACCORD_VERSION);
    ac_jw_end_object(&w);
    ac_jw_end_array(&w);
    ac_jw_end_object(&w);
    main_component(&w, e);
    ac_jw_end_object(&w);
    components(&w, e);
    ac_jw_end_object(&w);
    ac_str_append_char(&s, '\n');
    const ac_status st = ac_str_ok(&s) ? ac_ev_add(e, "bom.cdx.json", ac_str_view(&s), err) : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    return st;
}
