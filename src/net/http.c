#include "net/http.h"

#include <string.h>

#if AC_HAVE_CURL
#include <curl/curl.h>

#include "base/mem.h"

typedef struct {
    ac_str *out;
    size_t left;
    bool over;
} sink;

static size_t take(char *data, size_t size, size_t n, void *user)
{
    sink *s = user;
    const size_t len = size * n;
    if (len > s->left) {
        s->over = true;
        return 0;                                    /* ends the transfer */
    }
    s->left -= len;
    ac_str_append(s->out, (ac_view){ data, len });
    return ac_str_ok(s->out) ? len : 0;
}

static bool loopback(const char *url)
{
    static const char *const hosts[] = { "http://127.0.0.1", "http://localhost", "http://[::1]" };
    for (size_t i = 0; i < AC_COUNTOF(hosts); i++)
        if (strncmp(url, hosts[i], strlen(hosts[i])) == 0) return true;
    return false;
}

static CURLcode configure(CURL *c, const ac_http_post *p, struct curl_slist *headers, sink *s, char *why)
{
    const struct { CURLoption option; long value; } numbers[] = {
        { CURLOPT_POST, 1 }, { CURLOPT_NOSIGNAL, 1 }, { CURLOPT_FOLLOWLOCATION, 0 }, { CURLOPT_CONNECTTIMEOUT_MS, 10000 },
        { CURLOPT_TIMEOUT_MS, (long)(p->timeout_ms ? p->timeout_ms : 120000) },
        { CURLOPT_SSL_VERIFYPEER, 1 }, { CURLOPT_SSL_VERIFYHOST, 2 }, { CURLOPT_POSTFIELDSIZE, (long)p->body.len },
    };
    CURLcode e = CURLE_OK;
    for (size_t i = 0; i < AC_COUNTOF(numbers) && !e; i++) e = curl_easy_setopt(c, numbers[i].option, numbers[i].value);
    if (!e) e = curl_easy_setopt(c, CURLOPT_URL, p->url);
    if (!e) e = curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    if (!e) e = curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    if (!e) e = curl_easy_setopt(c, CURLOPT_POSTFIELDS, p->body.ptr);
    if (!e) e = curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    if (!e) e = curl_easy_setopt(c, CURLOPT_WRITEDATA, s);
    if (!e) e = curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    if (!e && loopback(p->url)) e = curl_easy_setopt(c, CURLOPT_PROXY, "");
    return e;
}

static bool add_header(struct curl_slist **list, const char *text)
{
    struct curl_slist *more = curl_slist_append(*list, text);
    if (more) *list = more;
    return more != NULL;
}

static bool make_headers(struct curl_slist **list, const ac_http_post *p)
{
    ac_str bearer = { 0 };
    bool ok = add_header(list, "Content-Type: application/json") && add_header(list, "Accept: application/json") &&
              add_header(list, "Expect:");
    if (ok && p->bearer) {
        ac_str_appendf(&bearer, "Authorization: Bearer %s", p->bearer);
        ok = ac_str_ok(&bearer) && add_header(list, ac_str_c(&bearer));
    }
    ac_str_release(&bearer);
    return ok;
}

static ac_status transfer(CURL *c, const ac_http_post *p, struct curl_slist *headers, ac_str *out, int *status, ac_err *err)
{
    char why[CURL_ERROR_SIZE] = "";
    sink s = { .out = out, .left = p->max_bytes ? p->max_bytes : (size_t)16 << 20 };
    long code = 0;
    CURLcode e = configure(c, p, headers, &s, why);
    if (!e) e = curl_easy_perform(c);
    if (s.over) return ac_fail(err, AC_EIO, "%s: the answer is longer than may be read", p->url);
    if (!ac_str_ok(out)) return ac_fail_nomem(err, out->len);
    if (e == CURLE_UNSUPPORTED_PROTOCOL || e == CURLE_URL_MALFORMAT)
        return ac_fail(err, AC_EARG, "%s: no http or https address", p->url);
    if (!e) e = curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
    if (e) return ac_fail(err, AC_EIO, "%s: %s", p->url, why[0] ? why : curl_easy_strerror(e));
    *status = (int)code;
    return AC_OK;
}

bool ac_http_available(void)
{
    return true;
}

ac_status ac_http_post_json(const ac_http_post *p, ac_str *out, int *status, ac_err *err)
{
    struct curl_slist *headers = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) return ac_fail(err, AC_EIO, "libcurl does not start");
    CURL *c = curl_easy_init();
    ac_status st = c && make_headers(&headers, p) ? AC_OK : ac_fail_nomem(err, 1024);
    if (!st) st = transfer(c, p, headers, out, status, err);
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    curl_global_cleanup();
    return st;
}

#else

bool ac_http_available(void)
{
    return false;
}

ac_status ac_http_post_json(const ac_http_post *p, ac_str *out, int *status, ac_err *err)
{
    AC_UNUSED(out);
    AC_UNUSED(status);
    return ac_fail(err, AC_EARG, "%s: this program was built without an HTTP client (static builds are); use one that is "
                   "linked with libcurl", p->url);
}

#endif
