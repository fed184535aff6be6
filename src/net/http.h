/* net/http.h - one request to a server that a person named. The only room that includes curl.h.
 *
 * N1  Nothing is fetched in the background; each request follows a command that names the server. No redirect is
 *     followed, no proxy is taken from the environment for loopback addresses, no cookie is kept.
 * N2  http and https only; certificates are checked. A key goes into a header, never into a URL or a message.
 * N3  The answer has a size limit and the request a time limit. */
#ifndef AC_NET_HTTP_H
#define AC_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

bool ac_http_available(void);          /* false: this build has no HTTP client */

typedef struct {
    const char *url;
    const char *bearer;                /* sent as Authorization: Bearer; NULL: none */
    ac_view body;                      /* JSON */
    int64_t timeout_ms;                /* 0: 120 s */
    size_t max_bytes;                  /* 0: 16 MiB */
} ac_http_post;
/* Appends the answer's body; *status: its HTTP status. AC_EIO: no answer (the message says why); AC_EARG: no URL that can be
 * asked, or no HTTP client in this build. */
ac_status ac_http_post_json(const ac_http_post *p, ac_str *out, int *status, ac_err *err);

#endif
