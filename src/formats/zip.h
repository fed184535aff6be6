/* formats/zip.h - takes one member out of a zip archive; for wheels.
 * Z1  The central directory at the end says what there is; a member's local header must agree with it.
 * Z2  Members are stored or deflated (zlib); length and CRC-32 are checked before the output is seen.
 * Not here: encryption, several volumes, zip64 (archives over 4 GB): refused by name. */
#ifndef AC_FORMATS_ZIP_H
#define AC_FORMATS_ZIP_H

#include <stdint.h>
#include "base/err.h"

/* Writes the member whose name ends in `suffix` (exactly one must) to out_path, atomically; more than
 * max_bytes is AC_EFORMAT. */
ac_status ac_zip_extract_suffix(const char *zip_path, const char *suffix, const char *out_path,
                                uint64_t max_bytes, ac_err *err);

#endif
