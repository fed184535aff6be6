/* formats/yaml.h - the YAML that people write by hand, read into a JSON tree (libyaml).
 * Core-schema scalars: null, true/false, integers, floats (1e-5 is a float), strings; quoted scalars are
 * strings. Anchors, aliases, tags and merge keys are refused, duplicate keys too; depth 32, 1 MiB. */
#ifndef AC_FORMATS_YAML_H
#define AC_FORMATS_YAML_H

#include "formats/json.h"

/* node->offset points into text, so that ac_json_place gives line and column. */
ac_status ac_yaml_parse(const ac_json **out, ac_view text, ac_arena *a, const char *name, ac_err *err);
/* Of the libyaml that runs. */
const char *ac_yaml_library(void);

#endif
