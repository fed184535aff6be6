/* formats/zip.h - takes one member out of a zip archive (libzip); for wheels. */
#ifndef AC_FORMATS_ZIP_H
#define AC_FORMATS_ZIP_H

#include <stdint.h>
#include "base/err.h"

/* Writes the member whose name ends in `suffix` (exactly one must) to out_path, atomically; more than
 * max_bytes is AC_EFORMAT. */
ac_status ac_zip_extract_suffix(const char *zip_path, const char *suffix, const char *out_path,
                                uint64_t max_bytes, ac_err *err);

#endif
