/* Secrets and personal data in texts of our own: what is found, what is not, and that no value leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>

#include "data/scan.h"
#include "data/scan_int.h"
#include "data_fixture.h"

typedef struct {
    ac_view text;
    ac_str said;                 /* "entity[value] ..." */
} found;

static ac_status take(void *ctx, const ac_scan_hit *h, ac_err *err)
{
    found *f = ctx;
    (void)err;
    ac_str_appendf(&f->said, "%s%s[%.*s]%s", f->said.len ? " " : "", h->entity, (int)(h->to - h->from), f->text.ptr + h->from,
                   h->severity == AC_FIND_FAIL ? "!" : h->severity == AC_FIND_NOTE ? "?" : "");
    return AC_OK;
}

static void expect_in(const ac_scanner *s, const char *path, const char *text, const char *want)
{
    found f = { .text = ac_view_of(text) };
    ac_err err = { 0 };
    if (ac_scan_text(s, path, f.text, take, &f, &err)) fail_msg("%s", err.text);
    if (strcmp(ac_str_c(&f.said), want)) fail_msg("%s\ngives    %s\nexpected %s", text, ac_str_c(&f.said), want);
    ac_str_release(&f.said);
}

static ac_scanner *own;

static void expect(const char *text, const char *want)
{
    expect_in(own, NULL, text, want);
}

static void mail_and_web(void **state)
{
    (void)state;
    expect("Write to ann.lee+x@mail.shop.co.uk, please.", "EMAIL_ADDRESS[ann.lee+x@mail.shop.co.uk]");
    expect("<a@b.io>;c_d@e-f.org!", "EMAIL_ADDRESS[a@b.io] EMAIL_ADDRESS[c_d@e-f.org]");
    expect("x@localhost, @user, a@b, icon@2x.png, me@1.2.3, a..b@c.de, a.@c.de, pkg@latest", "");
    expect("git clone git@forge.net:me/x.git", "");
    expect("see https://a.example/p?q=1, and http://b.example.", "URL[https://a.example/p?q=1]? URL[http://b.example]?");
    expect("http:// nothing, std::vector a::b ::1 12:30:45", "");
    expect("http://203.0.113.7:80/x", "URL[http://203.0.113.7:80/x]? IP_ADDRESS[203.0.113.7]");
}

static void machines(void **state)
{
    (void)state;
    expect("from 203.0.113.77 to 10.0.0.5.", "IP_ADDRESS[203.0.113.77] IP_ADDRESS[10.0.0.5]");
    expect("256.1.1.1 1.2.3 1.2.3.4.5 01.2.3.4 127.0.0.1 0.0.0.0 255.255.255.0 version 1.2.3.4 10.1.0.0", "");
    expect("2001:db8:0:1::42 and fe80::a1:2: up", "IP_ADDRESS[2001:db8:0:1::42] IP_ADDRESS[fe80::a1:2]");
    expect("2001:db8:85a3:0:0:8a2e:370:7334", "IP_ADDRESS[2001:db8:85a3:0:0:8a2e:370:7334]");
    expect("2001:db8::1::2 1:2:3 12345::1", "");
    expect("mac 00:1A:2b:3c:4D:5e and 00:00:00:00:00:00", "MAC_ADDRESS[00:1A:2b:3c:4D:5e]");
}

static void money(void **state)
{
    (void)state;
    expect("4111 1111 1111 1111 or 5555-5555-5555-4444 or 378282246310005",
           "CREDIT_CARD[4111 1111 1111 1111] CREDIT_CARD[5555-5555-5555-4444] CREDIT_CARD[378282246310005]");
    expect("4111 1111 1111 1112, 4111-1111 1111-1111, 14111111111111111, x4111111111111111, 0.4111111111111111", "");
    expect("30569309025904", "");                                       /* Diners' form is others', too */
    expect("card 30569309025904", "CREDIT_CARD[30569309025904]");
    expect("GB82 WEST 1234 5698 7654 32 and DE89370400440532013000.",
           "IBAN_CODE[GB82 WEST 1234 5698 7654 32] IBAN_CODE[DE89370400440532013000]");
    expect("GB82 WEST 1234 5698 7654 33, XX82370400440532013000, DE8937040044053201300", "");
    expect("1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "CRYPTO[1BoatSLRHtKNngkdXEeobR76b53LETtpyT]");
    expect("1BoatSLRHtKNngkdXEeobR76b53LETtpyU", "");
    expect("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "CRYPTO[bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq]");
    expect("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp", "");
    expect("routing 021000021, bank account 123456789012", "ABA_ROUTING_NUMBER[021000021] US_BANK_NUMBER[123456789012]");
}

static void offices(void **state)
{
    (void)state;
    expect("SSN 123 45 6789; 219-45-6781", "US_SSN[123 45 6789] US_SSN[219-45-6781]");
    expect("000-12-3456 666-12-3456 123-00-4567 123-45-0000 078-05-1120 123 45 6789 123456789 912-12-3456", "");
    expect("ITIN 912-71-3456", "US_ITIN[912-71-3456]");
    expect("his driver's license is D1234567.", "US_DRIVER_LICENSE[D1234567]");
    expect("passport no. 530123456", "US_PASSPORT[530123456]");
    expect("NHS 943 476 5919, NHS 943 476 5918", "UK_NHS[943 476 5919]");
    expect("DNI 12345678Z not 12345678A; AB1234563 not AB1234564", "ES_NIF[12345678Z] MEDICAL_LICENSE[AB1234563]");
    expect("RSSMRA85T10A562S, not RSSMRA85T10A562T", "IT_FISCAL_CODE[RSSMRA85T10A562S]");
}

static void phones(void **state)
{
    (void)state;
    expect("(212) 555-0123, 212-555-0123, 212.555.0123x45, +44 20 7946 0958, +1-944-435-4352 ext. 7",
           "PHONE_NUMBER[(212) 555-0123] PHONE_NUMBER[212-555-0123] PHONE_NUMBER[212.555.0123x45] "
           "PHONE_NUMBER[+44 20 7946 0958] PHONE_NUMBER[+1-944-435-4352 ext. 7]");
    expect("Call me on 21 212 133 2727 today", "PHONE_NUMBER[21 212 133 2727]");
    expect("Fax: 5550123, 69 987 88 37 office", "PHONE_NUMBER[5550123] PHONE_NUMBER[69 987 88 37]");
    expect("(see +49 (0)30 901820)", "PHONE_NUMBER[+49 (0)30 901820]");
    expect("in 2019 212-555-0123", "PHONE_NUMBER[212-555-0123]");
    expect("call on 2023-10-15, call 15.10.2023, phone sales 1900-1920, phone 1000000/200, call 5+12345678", "");
    expect("21 212 133 2727; 1 234 567 890 123 4567 8901; $2125550123; 12.345.678; 1-1000181-1; 3-1234567-89", "");
    expect("phone costs $1200000 or 1,200,000 for 10 000 000 people", "");
}

static void secrets(void **state)
{
    (void)state;
    expect("key AKIAZ7VRSQH5TGN2LMXC in text", "aws-access-key-id[AKIAZ7VRSQH5TGN2LMXC]!");
    expect("AKIAIOSFODNN7EXAMPLE", "aws-access-key-id[AKIAIOSFODNN7EXAMPLE]");              /* a warning only */
    expect("token=ghp_w9Xk2LmQ4rTz7VbN1cPd8SfGh3JyUe5A6oRi", "github-token[ghp_w9Xk2LmQ4rTz7VbN1cPd8SfGh3JyUe5A6oRi]!");
    expect("-----BEGIN RSA PRIVATE KEY-----", "private-key[-----BEGIN RSA PRIVATE KEY-----]!");
    expect("-----BEGIN PUBLIC KEY-----", "");
    expect("{\"api_key\": \"f7Qz91LmXw03bTn8\"}", "generic-secret[f7Qz91LmXw03bTn8]!");
    expect("api_key = \"your-api-key-0000\"; the key: 1234567890ab; token: aaaaaaaaaa1; secret: nothingtosee", "");
    expect("postgres://app:s3cr3tPw9@db.internal/x", "url-password[s3cr3tPw9]!");
    expect("https://user:password@host/x", "URL[https://user:password@host/x]?");
    expect("sk-proj-a8Kd02LmVx91QwErTyUi4567 and xoxb-1234567890-abcDEF123456",
           "openai-key[sk-proj-a8Kd02LmVx91QwErTyUi4567]! slack-token[xoxb-1234567890-abcDEF123456]!");
    expect("token = 'f7Qz91LmXw03bTn8' # gitleaks:allow", "");
    expect("password = \"ann.lee9@shop.io\"", "generic-secret[ann.lee9@shop.io]!");        /* one finding, not an address too */
}

static const char rules[] =
    "[allowlist]\npaths = ['''(^|/)fixtures/''']\n"
    "[[rules]]\nid = \"acme\"\ndescription = \"Acme\"\nregex = '''(?i)\\b(acme_(?P<body>[a-z0-9]{6,10}))(?:\\s|$)'''\n"
    "secretGroup = 2\nentropy = 2\nkeywords = [\"ACME_\"]\ntags = [\"x\"]\n"
    "[rules.allowlist]\nstopwords = [\"demo\"]\n"
    "[[rules]]\nid = \"line\"\nregex = 'zz[0-9]{4}'\n"
    "[[rules.allowlists]]\ncondition = \"AND\"\nregexTarget = \"line\"\nregexes = ['ignore']\nstopwords = ['zz1']\n"
    "[[rules]]\nid = \"in-env\"\npath = '\\.env$'\nregex = 'v=([0-9]+)'\n";

static void rule_file(void **state)
{
    (void)state;
    ac_scanner *s = NULL;
    ac_err err = { 0 };
    const char *path = df_text("rules.toml", rules);
    if (ac_scanner_open(&s, path, &err)) fail_msg("%s", err.text);
    expect_in(s, NULL, "Acme_ab12cd and AKIAZ7VRSQH5TGN2LMXC", "acme[ab12cd]!");         /* the built-in ones are off */
    expect_in(s, NULL, "acme_aaaaaa acme_demo12 acme_short12345678", "");
    expect_in(s, "x/fixtures/a.jsonl", "acme_ab12cd", "");
    expect_in(s, NULL, "zz1234 ignore\nzz2234 ignore\nzz1235", "line[zz2234]! line[zz1235]!");
    expect_in(s, "a/.env", "v=77", "in-env[77]!");
    expect_in(s, "a/env", "v=77", "");
    ac_scanner_close(&s);
    path = df_text("rules.toml", "[extend]\nuseDefault = true\ndisabledRules = ['jwt']\n[[rules]]\nid='q'\nregex='q{3}'\n");
    assert_int_equal(ac_scanner_open(&s, path, NULL), AC_OK);
    expect_in(s, NULL, "qqq AKIAZ7VRSQH5TGN2LMXC", "q[qqq]! aws-access-key-id[AKIAZ7VRSQH5TGN2LMXC]!");
    ac_scanner_close(&s);
}

static void bad_rules(void **state)
{
    (void)state;
    static const struct { const char *toml, *says; } bad[] = {
        { "title='x'", "there are no [[rules]]" },
        { "[[rules]]\nregex='a'", "a rule has no id" },
        { "[[rules]]\nid='a'", "needs a regex or a path" },
        { "[[rules]]\nid='a'\nregexp='a'", ":3:8: regexp: unknown key in a rule" },
        { "[[rules]]\nid='a'\nregex='a('", ":3:7: the pattern is wrong" },
        { "[[rules]]\nid='a'\nregex='(?=a)b'", "a (? group at character 1" },
        { "[[rules]]\nid='a'\nregex='(a)\\1'", "a back reference at character 4" },
        { "[[rules]]\nid='a'\nregex='a*+'", "a possessive repetition" },
        { "[[rules]]\nid='a'\nregex='\\h'", "has \\h at character 1" },
        { "[[rules]]\nid='a'\nregex='[a'", "a [ without its ]" },
        { "[[rules]]\nid='a'\nregex='(a)'\nsecretGroup=2", "secretGroup is no group of the regex" },
        { "[[rules]]\nid='a'\nregex='(a)'\nentropy=9", "from 0 to 8" },
        { "[[rules]]\nid='a'\nregex='(a)'\n[[rules.required]]\nid='b'", "rules that need other rules" },
        { "[extend]\npath='x'", "cannot be extended from here" },
        { "[[rules]]\nid='a'\nregex='a'\n[rules.allowlist]\ndescription='x'", "an allowlist needs" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ac_scanner *s = NULL;
        ac_err err = { 0 };
        assert_int_equal(ac_scanner_open(&s, df_text("bad.toml", bad[i].toml), &err), AC_EFORMAT);
        if (!strstr(err.text, bad[i].says)) fail_msg("%s\ngives %s", bad[i].toml, err.text);
        assert_null(s);
    }
}

/* Go's \s, \v, $ and named groups. */
static void go_patterns(void **state)
{
    (void)state;
    static const struct { const char *go, *pcre; } same[] = {
        { "a\\sb[\\s\\w]\\S", "a[\\t\\n\\f\\r ]b[\\t\\n\\f\\r \\w][^\\t\\n\\f\\r ]" },
        { "(?P<x>a)(?<y>b)(?i:c)(?-i)", "(?P<x>a)(?<y>b)(?i:c)(?-i)" },
        { "\\Qa*+(\\E\\v\\z", "\\Qa*+(\\E\\x0b\\z" },
        { "[]a][^]b][[:alpha:]x[]", "[\\]a][^\\]b][[:alpha:]x\\[]" },
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        ac_str out = { 0 };
        assert_int_equal(ac_scan_go_regex(&out, ac_view_of(same[i].go), "x", NULL), AC_OK);
        assert_string_equal(ac_str_c(&out), same[i].pcre);
        ac_str_release(&out);
    }
}

/* A pattern that backtracks without end is said, not taken for clean. */
static void gives_up(void **state)
{
    (void)state;
    ac_scanner *s = NULL;
    char text[64];
    memset(text, 'a', sizeof text);
    memcpy(text + sizeof text - 3, "x!", 3);
    assert_int_equal(ac_scanner_open(&s, df_text("slow.toml", "[[rules]]\nid='slow'\nregex='(a|aa|a?a)+[bc]!'\nkeywords=['a']"), NULL), AC_OK);
    char want[128];
    (void)snprintf(want, sizeof want, "slow[%s]", text);
    expect_in(s, NULL, text, want);
    ac_scanner_close(&s);
}

static void tally(void **state)
{
    (void)state;
    static const char rows[] =
        "{\"prompt\":\"mail ann@shop.example\",\"completion\":\"password: Zx81kQmW93\"}\n"
        "{\"prompt\":\"again ann@shop.example or bob@shop.example\",\"completion\":\"see http://a.example\"}\n";
    ac_row_file f = { 0 };
    ac_findings g = { 0 }, h = { 0 };
    ac_scan_tally *a = NULL, *b = NULL;
    assert_int_equal(ac_rows_read(&f, df_text("rows.jsonl", rows), AC_FORMAT_AUTO, NULL), AC_OK);
    assert_int_equal(ac_scan_rows(&g, own, &f, NULL), AC_OK);
    assert_int_equal(g.n, 4);
    assert_string_equal(g.finding[0].kind, "secret");
    assert_int_equal(g.finding[0].severity, AC_FIND_FAIL);
    assert_non_null(strstr(g.finding[0].text, "rows.jsonl:1:generic-secret:0.70 (10 characters)"));
    assert_non_null(strstr(g.finding[1].text, "rows.jsonl:1:EMAIL_ADDRESS:1.00 xxx@xxxx.xxxxxxx, 1 more time"));
    assert_non_null(strstr(g.finding[2].text, ":2:EMAIL_ADDRESS:"));
    assert_non_null(strstr(g.finding[3].text, ":2:URL:0.60 1 in all"));
    for (size_t i = 0; i < g.n; i++)
        if (strstr(g.finding[i].text, "ann") || strstr(g.finding[i].text, "Zx8") || strstr(g.finding[i].id, "ann"))
            fail_msg("%s", g.finding[i].text);
    /* Two tallies put together, in either order, give the same. */
    for (int swap = 0; swap < 2; swap++) {
        assert_int_equal(ac_scan_tally_open(&a, own, f.path, NULL), AC_OK);
        assert_int_equal(ac_scan_tally_open(&b, own, f.path, NULL), AC_OK);
        assert_int_equal(ac_scan_tally_row(a, &f.row[swap], NULL), AC_OK);
        assert_int_equal(ac_scan_tally_row(b, &f.row[1 - swap], NULL), AC_OK);
        assert_int_equal(ac_scan_tally_merge(a, b, NULL), AC_OK);
        assert_int_equal(ac_scan_tally_count(a, "EMAIL_ADDRESS"), 3);
        assert_int_equal(ac_scan_tally_report(&h, a, NULL), AC_OK);
        assert_int_equal(h.n, g.n);
        for (size_t i = 0; i < g.n; i++) {
            assert_string_equal(h.finding[i].id, g.finding[i].id);
            assert_string_equal(h.finding[i].text, g.finding[i].text);
        }
        ac_findings_release(&h);
        ac_scan_tally_close(&a);
        ac_scan_tally_close(&b);
    }
    ac_findings_release(&g);
    ac_rows_release(&f);
}

/* The answer to be avoided is read and given away like the others. */
static void rejected_answers(void **state)
{
    (void)state;
    ac_message good = { .role = AC_ROLE_ASSISTANT, .content = AC_VIEW("nothing") };
    ac_message bad = { .role = AC_ROLE_ASSISTANT, .content = AC_VIEW("ask ann@shop.example") };
    const ac_row r = { .line = 3, .n_messages = 1, .message = &good, .n_rejected = 1, .rejected = &bad };
    ac_scan_tally *t = NULL;
    assert_int_equal(ac_scan_tally_open(&t, own, "r", NULL), AC_OK);
    assert_int_equal(ac_scan_tally_row(t, &r, NULL), AC_OK);
    assert_int_equal(ac_scan_tally_count(t, "EMAIL_ADDRESS"), 1);
    ac_scan_tally_close(&t);
}

static void characters(void **state)
{
    (void)state;
    static const struct { const char *text; int kind; uint32_t first; size_t n; } known[] = {
        { "plain text, with \t and \n", -1, 0, 0 },
        { "Zo\xc3\xab, \xd0\x9c\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0, \xce\xb1\xce\xb2, \xe6\x97\xa5\xe6\x9c\xac, 5 \xce\xbcm", -1, 0, 0 },
        { "SMS\xd0\xba\xd0\xb8 and \xce\x94x", -1, 0, 0 },
        { "a\xe2\x80\xae" "b", AC_UNI_HIDDEN, 0x202e, 1 },
        { "a\xf3\xa0\x81\xa1\xf3\xa0\x81\xa2", AC_UNI_HIDDEN, 0xe0061, 2 },
        { "\xf0\x9f\x8f\xb4\xf3\xa0\x81\xa7\xf3\xa0\x81\xbf", -1, 0, 0 },                     /* a flag */
        { "\xf0\x9f\x98\x80\xef\xb8\x8f\xef\xb8\x80", AC_UNI_HIDDEN, 0xfe00, 1 },           /* selectors in a row */
        { "a\xe2\x80\x8b" "b\xe2\x81\xa0", AC_UNI_INVISIBLE, 0x200b, 2 },
        { "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80", -1, 0, 0 },                         /* joined emoji */
        { "a\xe2\x80\x8d" "b", AC_UNI_INVISIBLE, 0x200d, 1 },
        { "\xd9\x85\xe2\x80\x8c\xd9\x85 \xe2\x80\x8f", -1, 0, 0 },                            /* Persian, with its marks */
        { "x\xe2\x80\x8e", AC_UNI_INVISIBLE, 0x200e, 1 },
        { "a\x01" "b", AC_UNI_CONTROL, 1, 1 },
        { "\xc2\x85", AC_UNI_CONTROL, 0x85, 1 },
        { "caf\xef\xbf\xbd", AC_UNI_REPLACEMENT, 0xfffd, 1 },
        { "caf\xe9", AC_UNI_REPLACEMENT, 0xfffd, 1 },
        { "\xee\x80\x80", AC_UNI_PRIVATE, 0xe000, 1 },
        { "p\xd0\xb0ypal", AC_UNI_MIXED, 0x430, 1 },
        { "\xd1\x81\xd0\xbb" "o\xd0\xb2\xd0\xbe", AC_UNI_MIXED, 'o', 1 },
        { "\xce\x91pple", AC_UNI_MIXED, 0x391, 1 },
        { "cafe\xcc\x81", AC_UNI_NOT_NFC, 0x301, 1 },
        { "\xe2\x84\xa6", AC_UNI_NOT_NFC, 0x2126, 1 },                                         /* ohm sign */
        { "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", AC_UNI_NOT_NFC, 0x1161, 1 },                /* hangul in parts */
        { "\xef\xac\x81 \xc2\xbd", -1, 0, 0 },                                                 /* only compatibility differs */
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ac_unicode_mark m[AC_UNI_COUNT];
        ac_unicode_scan(ac_view_of(known[i].text), m);
        for (int k = 0; k < AC_UNI_COUNT; k++) {
            const size_t want = k == known[i].kind ? known[i].n : 0;
            if (m[k].n != want) fail_msg("text %zu, kind %d: %zu, expected %zu", i, k, m[k].n, want);
            if (want && m[k].first != known[i].first) fail_msg("text %zu: U+%04X", i, m[k].first);
        }
    }
}

static void places(void **state)
{
    (void)state;
    ac_findings g = { 0 };
    char dir[512], file[600];
    (void)snprintf(dir, sizeof dir, "%s", df_path("Dropbox (Firm)"));
    assert_int_equal(mkdir(dir, 0700), 0);
    (void)snprintf(file, sizeof file, "%s/a.jsonl", dir);
    assert_int_equal(ac_file_write_atomic(file, "{}\n", 3, NULL), AC_OK);
    assert_int_equal(ac_scan_place(&g, file, true, NULL), AC_OK);
    assert_int_equal(g.n, 1);
    assert_non_null(strstr(g.finding[0].text, "Dropbox"));
    ac_findings_release(&g);
    const char *plain = df_text("plain.jsonl", "{}\n");
    assert_int_equal(ac_scan_place(&g, plain, true, NULL), AC_OK);
    assert_int_equal(g.n, 0);                                            /* the folder above is closed to others */
    (void)df_text(".stfolder", "");
    assert_int_equal(ac_scan_place(&g, plain, true, NULL), AC_OK);
    assert_int_equal(g.n, 1);
    assert_non_null(strstr(g.finding[0].text, "Syncthing"));
    ac_findings_release(&g);
    assert_int_equal(remove(df_path(".stfolder")), 0);
    assert_int_equal(chmod(df_dir, 0755), 0);
    assert_int_equal(chmod(plain, 0644), 0);
    assert_int_equal(ac_scan_place(&g, plain, true, NULL), AC_OK);
    if (g.n) assert_non_null(strstr(g.finding[0].text, "every user"));   /* unless a folder further up is closed */
    ac_findings_release(&g);
    assert_int_equal(ac_scan_place(&g, "no/such/file", true, NULL), AC_OK);
    assert_int_equal(g.n, 0);
}

static int set_up(void **state)
{
    (void)state;
    return df_open() || ac_scanner_open(&own, NULL, NULL) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    ac_scanner_close(&own);
    df_close();
    return ac_live_bytes() == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mail_and_web), cmocka_unit_test(machines), cmocka_unit_test(money), cmocka_unit_test(offices),
        cmocka_unit_test(phones), cmocka_unit_test(secrets), cmocka_unit_test(rule_file), cmocka_unit_test(bad_rules),
        cmocka_unit_test(go_patterns), cmocka_unit_test(gives_up), cmocka_unit_test(tally), cmocka_unit_test(rejected_answers),
        cmocka_unit_test(characters),
        cmocka_unit_test(places),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
