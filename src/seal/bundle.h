/* seal/bundle.h - an encrypted backup: an age file with a tar archive in it whose last member lists all others.
 *
 * B1  The last member, accord-backup.json, holds name, size and SHA-256 of every other one in their order, and what the
 *     writer says about the whole. A bundle without it, or with one that differs, is AC_EFORMAT.
 * B2  Writing reads the finished file again from the disk, opens every chunk and compares every hash, before it is given
 *     its name.
 * B3  Restoring unpacks beside the target and renames when all of it was checked; the target must be absent or empty.
 * `age -d FILE | tar x` does the same without this program. */
#ifndef AC_SEAL_BUNDLE_H
#define AC_SEAL_BUNDLE_H

#include "base/event.h"
#include "base/hash.h"
#include "formats/json.h"
#include "seal/age.h"
#include "seal/tar.h"

#define AC_BUNDLE_LIST "accord-backup.json"

typedef struct {
    const char *name;                /* in the bundle */
    const char *path;                /* on the disk; sealed files go in as they lie */
} ac_bundle_file;

/* about: the inside of a JSON object for the list ("\"runs\":3"), or NULL. AC_ECREATE: out is there already. */
ac_status ac_bundle_write(const char *out, const ac_age_to *to, const ac_bundle_file *file, size_t n, const char *about,
                          const ac_sink *sink, uint64_t *bytes, ac_err *err);
/* Opens and checks everything; the list lives in the arena. into: where to unpack, or NULL. */
ac_status ac_bundle_read(const ac_json **list, ac_arena *a, const char *path, const ac_age_from *from, const char *into,
                         const ac_sink *sink, ac_err *err);

/* The tar part alone, from memory and without encryption: for fuzzing. */
ac_status ac_bundle_check_tar(const void *data, size_t len, const char *name, ac_err *err);

#endif
