/* formats/toml.h - TOML 1.0 read into a JSON tree, for the rule files of other tools.
 * Dates and times, inf and nan are refused: the tree has no form for them. Depth 32, 4 MiB, 4,096 keys a table. */
#ifndef AC_FORMATS_TOML_H
#define AC_FORMATS_TOML_H

#include "formats/json.h"

/* *out is an object; node->offset points into text, so that ac_json_place gives line and column. Borrows text for the
 * call. AC_EFORMAT: "<name>:<line>:<column>: ...". */
ac_status ac_toml_parse(const ac_json **out, ac_view text, ac_arena *a, const char *name, ac_err *err);

#endif
