/* report/report.h - one self-contained HTML file from a run folder: verdict, loss curve, cases, hashes.
 *
 * R1  Reads the run folder's files alone (run.json, metrics.jsonl, telemetry.jsonl, verdict.json, env.json), so a folder pulled from
 *     another machine reports the same. What is missing is said, not guessed.
 * R2  No script, no font, no image from elsewhere; every text from a file is escaped. Dark and light follow the
 *     reader's setting; charts are inline SVG with the numbers as titles. */
#ifndef AC_REPORT_REPORT_H
#define AC_REPORT_REPORT_H

#include "base/err.h"
#include "base/str.h"

/* Appends the page. AC_ENOENT when run_dir has no run.json. */
ac_status ac_report_html(ac_str *out, const char *run_dir, ac_err *err);

#endif
