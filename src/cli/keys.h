/* cli/keys.h - where keys and passphrases come from, and for whom something is sealed.
 *
 * Y1  A passphrase comes from ACCORD_PASSPHRASE_FILE, ACCORD_PASSPHRASE_FD or the terminal; no option takes one.
 * Y2  Identities come from the file in ACCORD_IDENTITY, else from identity.txt in the key folder: ACCORD_KEY, else
 *     XDG_CONFIG_HOME/accord, else ~/.config/accord. Files of keys that others may read are refused.
 * Y3  What was read is kept in secret memory until the program ends. */
#ifndef AC_CLI_KEYS_H
#define AC_CLI_KEYS_H

#include "base/secret.h"
#include "cli/opt.h"
#include "seal/age.h"

#define AC_KEYS_IDENTITY "identity.txt"
#define AC_KEYS_SIGNING "signing.pem"
#define AC_PASSPHRASE_MAX ((size_t)1024)

/* "<key folder>/<name>" in the arena. */
ac_status ac_keys_path(char **out, ac_arena *a, const char *name, ac_err *err);

/* The options of every command that seals, and what they come to. */
typedef struct {
    ac_opt_list recipients;
    const char *recipients_file;
    bool self, passphrase;
    int64_t work;
} ac_seal_opts;
#define AC_SEAL_OPTIONS(o)                                                                                              \
    AC_OPT_GROUP("For whom"),                                                                                           \
    AC_OPT_LIST('r', "recipient", &(o).recipients, "age1...", "who may open it; may be given again"),                   \
    AC_OPT_PATH('R', "recipients-file", &(o).recipients_file, "file", "one recipient a line"),                          \
    AC_OPT_BOOL(0, "self", &(o).self, "your own identity, too"),                                                        \
    AC_OPT_BOOL('p', "passphrase", &(o).passphrase,                                                                     \
                "a passphrase in place of recipients: asked for, or from ACCORD_PASSPHRASE_FILE or ACCORD_PASSPHRASE_FD"), \
    AC_OPT_INT(0, "work-factor", &(o).work, 10, AC_AGE_WORK_MAX, "n", "passphrase: 2^n rounds of scrypt")
/* AC_EARG: nobody is named, or both recipients and a passphrase. Lists live in the arena. */
ac_status ac_keys_to(ac_age_to *out, ac_arena *a, const ac_seal_opts *o, ac_err *err);

/* What opens sealed files here: identities and a passphrase that is asked for when a file wants one. Loaded at the first
 * call; borrowed until ac_keys_release. */
ac_status ac_keys_from(const ac_age_from **out, ac_err *err);
void      ac_keys_release(void);
/* The key of the audit log (ledger/ledger.h, A5): 64 hex digits in the file that ACCORD_AUDIT_KEY names; *key stays empty where
 * it names none. Borrowed until ac_keys_release. */
ac_status ac_keys_audit(ac_view *key, ac_err *err);
/* From here on sealed inputs are opened as they are read (base/file.h, F5). */
void      ac_keys_open_sealed(void);

#endif
