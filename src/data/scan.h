/* data/scan.h - secrets, personal data and odd characters in texts (docs/data.md, "Secrets and personal data").
 *
 * N1  A scanner is made once and never changes; any number of threads may scan with it at the same time.
 * N2  A value that was found never leaves through here but as a span of the caller's own text: masks keep the shape
 *     and no character, ids come from the row's hash, not from the value (nine digits are soon guessed).
 * N3  What is found does not depend on threads or on how rows are split among them.
 * Not here: names, places and addresses; their form does not tell them. */
#ifndef AC_DATA_SCAN_H
#define AC_DATA_SCAN_H

#include "data/data.h"

typedef enum { AC_SCAN_SECRET, AC_SCAN_PERSONAL } ac_scan_class;

typedef struct {
    ac_scan_class class;
    ac_severity severity;          /* secrets fail, personal data warns, an URL is a note */
    const char *entity;            /* Presidio's name, or the rule's id; lives as long as the scanner */
    size_t from, to;               /* bytes of the text */
    double score;                  /* 0 to 1: how sure the form makes us */
} ac_scan_hit;

typedef struct ac_scanner ac_scanner;
/* rules_path: gitleaks rules (TOML) in place of the built-in ones, or beside them where the file says
 * [extend] useDefault = true; NULL: the built-in ones. Gives *out. AC_EFORMAT names the rule and what is wrong. */
ac_status ac_scanner_open(ac_scanner **out, const char *rules_path, ac_err *err);
void      ac_scanner_close(ac_scanner **s);

/* Called in the order of the text for secrets, then for personal data; a failure ends the scan and is passed on. */
typedef ac_status ac_scan_fn(void *ctx, const ac_scan_hit *hit, ac_err *err);
/* path (may be NULL) is what rules and allowlists with a path look at. A rule that backtracks without end on this text
 * gives a hit of severity WARN over the whole text, so that it is not taken for clean. */
ac_status ac_scan_text(const ac_scanner *s, const char *path, ac_view text, ac_scan_fn *fn, void *ctx, ac_err *err);
/* The span's shape: a letter becomes x, a digit #, other marks stay; of a secret only its length. */
void      ac_scan_mask(ac_str *out, const ac_scan_hit *hit, ac_view text);

/* ---- tally: what was found in one file, a line for each distinct value ---- */

typedef struct ac_scan_tally ac_scan_tally;
/* Borrows s and path. */
ac_status ac_scan_tally_open(ac_scan_tally **out, const ac_scanner *s, const char *path, ac_err *err);
void      ac_scan_tally_close(ac_scan_tally **t);
/* Scans one text of the row that begins in this line. row_hash makes the finding's id: of the whole row. */
ac_status ac_scan_tally_text(ac_scan_tally *t, size_t line, uint64_t row_hash, ac_view text, ac_err *err);
/* A document: the line is found by counting line ends. */
ac_status ac_scan_tally_document(ac_scan_tally *t, ac_view text, ac_err *err);
/* All texts of a row. */
ac_status ac_scan_tally_row(ac_scan_tally *t, const ac_row *r, ac_err *err);
/* Adds what another tally of the same scanner and file counted; from stays as it is. */
ac_status ac_scan_tally_merge(ac_scan_tally *into, const ac_scan_tally *from, ac_err *err);
/* Appends "secret", "personal" and "url" findings, by line; text: "<path>:<line>:<entity>:<score> <mask> ...". */
ac_status ac_scan_tally_report(ac_findings *f, const ac_scan_tally *t, ac_err *err);
/* Occurrences of an entity, all values together. */
size_t    ac_scan_tally_count(const ac_scan_tally *t, const char *entity);

/* A whole file of rows at once. */
ac_status ac_scan_rows(ac_findings *f, const ac_scanner *s, const ac_row_file *rows, ac_err *err);

/* ---- characters ---- */

typedef enum {
    AC_UNI_HIDDEN,        /* directions, tags, runs of variation selectors: text that is not seen, or in another order */
    AC_UNI_INVISIBLE,     /* zero width, fillers, soft hyphens where nothing needs them */
    AC_UNI_CONTROL,       /* control characters and noncharacters */
    AC_UNI_REPLACEMENT,   /* U+FFFD, or bytes that are no UTF-8 */
    AC_UNI_PRIVATE,       /* private use: no font agrees on it */
    AC_UNI_MIXED,         /* a word of Latin letters with look-alikes of another script, or the other way round */
    AC_UNI_NOT_NFC,       /* not composed: the same word has two spellings */
    AC_UNI_COUNT
} ac_unicode_kind;
typedef struct {
    size_t n;             /* how many */
    size_t at;            /* byte offset of the first */
    uint32_t first;       /* its code point; of mixed words, of the look-alike */
} ac_unicode_mark;
void ac_unicode_scan(ac_view text, ac_unicode_mark out[AC_UNI_COUNT]);
const char *ac_unicode_what(ac_unicode_kind k);      /* "which hides or reorders text; remove it" */
/* Adds a "unicode-hidden" (fails), "unicode", "unicode-mixed" or "unicode-nfc" finding for each kind in each turn. */
ac_status ac_row_unicode(ac_findings *f, const ac_row *r, uint64_t row_hash, ac_err *err);
/* The same of one text in this line; hidden text has the given severity, and a message begins with `what`. */
ac_status ac_text_unicode(ac_findings *f, ac_severity hidden, ac_view text, uint64_t identity, size_t line, const char *what,
                          ac_err *err);
/* Of a document: the line is found by counting line ends. */
ac_status ac_document_unicode(ac_findings *f, ac_severity hidden, ac_view text, const char *path, ac_err *err);

/* ---- places ---- */

/* "place" warnings for a data file that lies in a download folder or one that is copied elsewhere (Dropbox, OneDrive,
 * iCloud, Google Drive, Nextcloud, ...), and where readers is set, one that every user of the machine can read. */
ac_status ac_scan_place(ac_findings *f, const char *path, bool readers, ac_err *err);

#endif
