/* The built-in rules: what each issuer says about the form of its own tokens.
 *
 * Keywords are in lower case and must stand in every text that the pattern can match. Patterns are Go's, like those of
 * a rule file. */
#include <string.h>

#include "data/scan_int.h"

typedef struct {
    const char *id, *keywords, *pattern;     /* keywords separated by | */
    double entropy, score;
    bool needs_digit;
} builtin;

#define END "(?:[^A-Za-z0-9_-]|$)"

static const builtin table[] = {
    { "private-key", "private key", "-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----", 0, 1, false },
    { "putty-private-key", "putty-user-key-file", "PuTTY-User-Key-File-[23]:", 0, 1, false },
    { "age-secret-key", "age-secret-key-1", "\\b(AGE-SECRET-KEY-1[0-9AC-HJ-NP-Z]{58})\\b", 0, 1, false },
    { "aws-access-key-id", "akia|asia|abia|acca", "\\b((?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16})\\b", 0, 1, true },
    { "aws-secret-access-key", "aws",
      "(?i)aws.{0,24}(?:secret|key).{0,24}?[\"'=:\\s](?-i:([A-Za-z0-9/+]{40}))(?:[^A-Za-z0-9/+=]|$)", 4, 1, true },
    { "azure-storage-key", "accountkey=", "(?i)AccountKey=([A-Za-z0-9+/]{86}==)", 4, 1, true },
    { "google-api-key", "aiza", "\\b(AIza[A-Za-z0-9_-]{35})" END, 3, 1, false },
    { "google-oauth-client-secret", "gocspx-", "\\b(GOCSPX-[A-Za-z0-9_-]{28})" END, 3, 1, false },
    { "google-oauth-token", "ya29.", "\\b(ya29\\.[A-Za-z0-9_-]{20,300})", 3, 1, false },
    { "github-token", "ghp_|gho_|ghu_|ghs_|ghr_", "\\b(gh[pousr]_[A-Za-z0-9]{36,255})\\b", 3, 1, false },
    { "github-fine-grained-token", "github_pat_", "\\b(github_pat_[A-Za-z0-9_]{50,255})\\b", 3, 1, false },
    { "gitlab-token", "glpat-|gldt-|glrt-|glptt-", "\\b(gl(?:pat|dt|rt|ptt)-[A-Za-z0-9_-]{20,64})", 3, 1, false },
    { "slack-token", "xoxa-|xoxb-|xoxe-|xoxp-|xoxr-|xoxs-", "\\b(xox[abeprs]-[A-Za-z0-9-]{10,250})", 2.5, 1, true },
    { "slack-app-token", "xapp-", "\\b(xapp-[0-9]-[A-Z0-9]+-[0-9]+-[a-z0-9]+)", 3, 1, false },
    { "slack-webhook", "hooks.slack.com", "https://hooks\\.slack\\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,60}",
      3, 1, false },
    { "discord-webhook", "discord.com/api/webhooks|discordapp.com/api/webhooks",
      "https://discord(?:app)?\\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,80}", 3, 1, false },
    { "discord-bot-token", "discord", "\\b([MNO][A-Za-z0-9_-]{23,27}\\.[A-Za-z0-9_-]{6}\\.[A-Za-z0-9_-]{27,40})" END, 4, 1,
      true },
    { "telegram-bot-token", ":aa", "\\b([0-9]{8,10}:AA[A-Za-z0-9_-]{33})" END, 3, 1, false },
    { "stripe-key", "sk_live_|sk_test_|sk_prod_|rk_live_|rk_test_|rk_prod_",
      "\\b([sr]k_(?:live|test|prod)_[A-Za-z0-9]{16,120})\\b", 2.5, 1, false },
    { "stripe-webhook-secret", "whsec_", "\\b(whsec_[A-Za-z0-9]{32,64})\\b", 3, 1, false },
    { "square-token", "sq0atp-|sq0csp-", "\\b(sq0(?:atp|csp)-[A-Za-z0-9_-]{22,43})" END, 3, 1, false },
    { "shopify-token", "shpat_|shpca_|shppa_|shpss_", "\\b(shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32})\\b", 2.5, 1, false },
    { "anthropic-key", "sk-ant-", "\\b(sk-ant-[A-Za-z0-9_-]{24,200})", 3, 1, false },
    { "openai-key", "sk-", "\\b(sk-(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,220})", 3.5, 1, true },
    { "huggingface-token", "hf_", "\\b(hf_[A-Za-z0-9]{30,60})\\b", 3, 1, false },
    { "groq-key", "gsk_", "\\b(gsk_[A-Za-z0-9]{52})\\b", 3, 1, false },
    { "xai-key", "xai-", "\\b(xai-[A-Za-z0-9]{80})\\b", 3, 1, false },
    { "perplexity-key", "pplx-", "\\b(pplx-[A-Za-z0-9]{48})\\b", 3, 1, false },
    { "replicate-token", "r8_", "\\b(r8_[A-Za-z0-9]{37})\\b", 3, 1, false },
    { "npm-token", "npm_", "\\b(npm_[A-Za-z0-9]{36})\\b", 3, 1, false },
    { "pypi-token", "pypi-", "\\b(pypi-[A-Za-z0-9_-]{50,400})", 3, 1, false },
    { "rubygems-key", "rubygems_", "\\b(rubygems_[a-f0-9]{48})\\b", 2.5, 1, false },
    { "docker-token", "dckr_pat_", "\\b(dckr_pat_[A-Za-z0-9_-]{27,40})" END, 3, 1, false },
    { "sendgrid-key", "sg.", "\\b(SG\\.[A-Za-z0-9_-]{16,32}\\.[A-Za-z0-9_-]{16,64})" END, 4, 1, true },
    { "mailgun-key", "key-", "\\b(key-[a-f0-9]{32})\\b", 2.5, 1, true },
    { "mailchimp-key", "-us", "\\b([a-f0-9]{32}-us[0-9]{1,2})\\b", 2.5, 1, true },
    { "twilio-key", "twilio", "\\b((?:AC|SK)[a-f0-9]{32})\\b", 2.5, 1, true },
    { "digitalocean-token", "doo_v1_|dop_v1_|dor_v1_", "\\b(do[opr]_v1_[a-f0-9]{64})\\b", 2.5, 1, false },
    { "databricks-token", "dapi", "\\b(dapi[a-f0-9]{32}(?:-[0-9])?)\\b", 2.5, 1, true },
    { "vault-token", "hvs.|hvb.", "\\b(hv[sb]\\.[A-Za-z0-9_-]{24,300})", 3.5, 1, true },
    { "terraform-token", ".atlasv1.", "\\b([A-Za-z0-9]{14}\\.atlasv1\\.[A-Za-z0-9_=-]{60,70})", 3.5, 1, false },
    { "grafana-token", "glsa_|glc_", "\\b(glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/]{32,400}={0,2})", 3, 1, false },
    { "newrelic-key", "nrak-", "\\b(NRAK-[A-Z0-9]{27})\\b", 3, 1, false },
    { "postman-key", "pmak-", "\\b(PMAK-[A-Fa-f0-9]{24}-[A-Fa-f0-9]{34})\\b", 2.5, 1, false },
    { "linear-key", "lin_api_", "\\b(lin_api_[A-Za-z0-9]{40})\\b", 3, 1, false },
    { "notion-token", "ntn_", "\\b(ntn_[0-9]{11}[A-Za-z0-9]{35})\\b", 3, 1, false },
    { "jwt", "eyj", "\\b(eyJ[A-Za-z0-9_-]{14,}\\.eyJ[A-Za-z0-9_-]{14,}\\.[A-Za-z0-9_-]{16,})", 3, 1, true },
    { "url-password", "://", "(?i)\\b[a-z][a-z0-9+.-]{1,20}://[^/\\s:@\"'<>]{0,64}:([^/\\s:@\"'<>]{4,128})@[A-Za-z0-9.-]", 2, 0.8,
      false },
    { "authorization-header", "authorization",
      "(?i)\\bauthorization[\"']?\\s{0,4}[:=]\\s{0,4}[\"']?(?:bearer|basic|token)\\s{1,4}([A-Za-z0-9._~+/=-]{16,400})", 3, 0.9,
      true },
    { "generic-secret", "key|token|secret|passwd|password|pwd|credential",
      "(?i)(?:(?:api|auth|access|secret|private|signing|encryption|session|master)[_. -]?(?:key|token)|secret|token|passwd|"
      "password|pwd|credential)s?[\"'\\]]{0,2}\\s{0,4}(?:=>|:=|={1,2}|:)\\s{0,4}[\"'`]?"
      "([A-Za-z0-9+/_.=~!@#$%^&*-]{10,150})(?:[\"'`\\s;,)}\\]]|$)", 3, 0.7, true },
};

/* What stands in place of a secret in documentation. */
static const char *const stand_ins[] = { "xxxx", "your", "changeme", "placeholder", "redacted", "dummy", "${", "{{", "****",
                                         "....", "1234567890" };
static const char *const stand_in_passwords[] = { "password", "passwd", "secret" };

static ac_status stop_words(ac_scanner *s, scan_rule *u, ac_err *err)
{
    const size_t most = AC_COUNTOF(stand_ins) + AC_COUNTOF(stand_in_passwords);
    size_t n = 0;
    u->allow = ac_arena_alloc(&s->arena, sizeof *u->allow);
    ac_view *stop = ac_arena_alloc_array(&s->arena, most, sizeof *stop);
    if (!u->allow || !stop) return ac_fail_nomem(err, most * sizeof *stop);
    for (size_t i = 0; i < AC_COUNTOF(stand_ins); i++) stop[n++] = ac_view_of(stand_ins[i]);
    for (size_t i = 0; i < AC_COUNTOF(stand_in_passwords) && !strcmp(u->id, "url-password"); i++)
        stop[n++] = ac_view_of(stand_in_passwords[i]);
    u->n_allow = 1;
    u->allow->stop = stop;
    u->allow->n_stop = n;
    return AC_OK;
}

ac_status ac_scan_rules_builtin(ac_scanner *s, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < AC_COUNTOF(table) && !st; i++) {
        const builtin *b = &table[i];
        pcre2_code *re = NULL;
        if ((st = ac_scan_compile(s, &re, ac_view_of(b->pattern), b->id, err))) break;
        scan_rule *u = ac_scan_rule_add(s);
        if (!u) return ac_fail_nomem(err, sizeof *u);
        *u = (scan_rule){ .id = b->id, .re = re, .entropy = b->entropy, .score = b->score, .needs_digit = b->needs_digit,
                          .builtin = true, .has_keywords = true };
        if (b->score < 1) st = stop_words(s, u, err);
        for (const char *p = b->keywords; *p && !st;) {
            const size_t n = strcspn(p, "|");
            st = ac_scan_keyword_add(s, (ac_view){ p, n }, s->n_rules - 1, err);
            p += n + (p[n] == '|');
        }
    }
    return st;
}
