/* ledger/cost.h - what work cost: parts, their money, and sums that agree.
 *
 * C1  Work is booked in parts: one process of one person on one machine, from its beginning to its end. A run's parts lie in
 *     its cost.json (each training until it stops, each scoring), work without a run folder of this project in
 *     .accord/cost.jsonl (a verification, a scoring without a run). A resume adds a part; one that has ended never changes.
 * C2  Milliseconds, milliwatt-hours and millionths of the currency are whole numbers. They are rounded once, where a part's
 *     figure is made (half away from zero), and only added from then on: sums agree however the parts are grouped.
 * C3  What is not known is -1, with the reason; it is never counted as 0, and a sum over it is "at least".
 * C4  A part's money is by the rates of its own run's lock.
 * C5  A part without an end (killed, or still running) counts up to what was last written by it, its guard or its metrics.
 * docs/formats/run.md has the files; docs/cost.md tells the methods. */
#ifndef AC_LEDGER_COST_H
#define AC_LEDGER_COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "formats/json.h"

#define AC_COST_UNKNOWN ((int64_t)-1)

typedef struct {
    const char *currency;        /* NULL: its lock knows nothing of costs */
    double machine_hour, machine_price, machine_years, machine_hours_a_year, kwh, watts, node_hour, node_speed;
} ac_cost_rates;

typedef enum { AC_COST_RENT, AC_COST_MACHINE, AC_COST_ENERGY, AC_COST_LINES } ac_cost_line;

typedef struct {
    int64_t line[AC_COST_LINES]; /* millionths; -1: not counted */
    int64_t total;               /* of what is counted; -1: nothing is */
    const char *missing;         /* in words; NULL: nothing */
} ac_cost_money;

typedef struct {
    const char *what;            /* "train", "ab", "verify", "untuned" */
    const char *run;             /* NULL: of no run */
    const char *began, *ended;   /* ISO; ended NULL: not known */
    int64_t began_s;             /* seconds since 1970; -1 */
    const char *outcome;         /* "trained", "stopped", "failed", "killed", "done"; NULL: no end was written */
    const char *person, *user, *host, *device;           /* NULL: not known */
    const char *project, *tags, *lock, *state, *verdict; /* of the run */
    double gain;                 /* the run's net points over base; NAN: no verdict */
    int64_t wall_ms, cpu_ms, gpu_ms, peak_bytes, tokens;
    const char *wall_from;       /* "measured", or up to what it is counted */
    uint64_t from_step;
    int64_t opened_ms;           /* wall time until the run was opened */
    int64_t mwh;
    const char *method, *covers, *why;                   /* of the energy */
    bool energy_at_least, estimated;
    const char *slurm_job;
    ac_cost_rates rates;
    ac_cost_money money;
} ac_cost_part;

/* A person's figure for the energy of a run: it stands for the first n_parts parts. */
typedef struct {
    const char *utc, *by, *reason;
    int64_t mwh;
    size_t n_parts;
} ac_cost_note;

typedef struct {
    const char *id, *dir, *state, *verdict, *project, *tags, *lock;
    double gain;
    ac_cost_rates rates;
    size_t n_parts, n_notes;
    ac_cost_part *part;
    ac_cost_note *note;
} ac_cost_run;

/* ---- files (cost_file.c reads, cost_write.c writes, cost_all.c goes over a project) ---- */
/* Reads a run's parts, also of a run that never wrote any. What a damaged cost.json holds is AC_EFORMAT. */
ac_status ac_cost_run_read(ac_cost_run *out, ac_arena *a, const char *run_dir, ac_err *err);
/* Replaces cost.json. Notes are not yet applied to parts where the run was read with ac_cost_run_raw. */
ac_status ac_cost_run_write(const ac_cost_run *r, ac_err *err);
/* As they lie in the file: no note applied, no open part completed. */
ac_status ac_cost_run_raw(ac_cost_run *out, ac_arena *a, const char *run_dir, ac_err *err);
/* C5: completes an open part from the guard's record and the metrics of its run. */
ac_status ac_cost_complete(ac_cost_part *p, const char *run_dir, ac_arena *a, ac_err *err);
/* Rates from a lock's tree. */
void      ac_cost_rates_of(ac_cost_rates *out, const ac_json *lock, ac_arena *a);
/* Adds what .accord/cost.jsonl of a project holds for the run: verifications. *bad as in ac_cost_read_all. */
ac_status ac_cost_run_lines(ac_cost_run *r, ac_str *bad, ac_arena *a, const char *project, ac_err *err);
/* Adds a line to .accord/cost.jsonl. */
ac_status ac_cost_append(const char *project, const ac_cost_part *p, ac_err *err);
/* All parts of a project: its runs' and its own, oldest first. A run whose file, or a line that, cannot be read is named in
 * *bad, a line each, and left out. */
ac_status ac_cost_read_all(ac_cost_part **out, size_t *n, ac_str *bad, ac_arena *a, const char *project, ac_err *err);
/* A part as a JSON object, as it lies in the files; whole: with what stands above the parts of a run. */
void      ac_cost_part_json(ac_jw *w, const ac_cost_part *p, bool whole);
/* One line of .accord/cost.jsonl. */
ac_status ac_cost_parse_line(ac_cost_part *out, ac_view line, const char *name, size_t number, ac_arena *a, ac_err *err);
/* cost.json's text. */
ac_status ac_cost_parse(ac_cost_run *out, ac_view text, const char *name, ac_arena *a, ac_err *err);

/* ---- arithmetic (cost.c) ---- */
void ac_cost_money_of(ac_cost_money *out, const ac_cost_part *p);
/* Spreads the last note over the parts that it stands for. */
void ac_cost_apply_notes(ac_cost_run *r);
/* "1.234567", "0.012345": millionths with all their digits. */
void ac_cost_micro_text(char out[32], int64_t micro);
/* "1:02:03.456" */
void ac_cost_time_text(char out[32], int64_t ms);
/* "12.345": milliwatt-hours in watt-hours. */
void ac_cost_wh_text(char out[32], int64_t mwh);

/* Seconds since 1970 of "2026-01-31T09:30:00Z" or "2026-01-31"; false: no such date. */
bool ac_cost_date_parse(int64_t *out, ac_view text);
/* The ISO week of a moment, in UTC: "2026-W05". */
void ac_cost_week_text(char out[16], int64_t unix_s);
/* The first second of the Monday of "2026-W05". */
bool ac_cost_week_parse(int64_t *out, ac_view text);

/* ---- sums (cost_sum.c) ---- */
#define AC_COST_CURRENCIES 8
typedef enum { AC_COST_BY_RUN, AC_COST_BY_PERSON, AC_COST_BY_PROJECT, AC_COST_BY_WEEK, AC_COST_BY_VERDICT, AC_COST_BY_TAG } ac_cost_by;
typedef struct {
    const char *key;
    size_t n_parts, n_runs;
    int64_t wall_ms, cpu_ms, gpu_ms, mwh, tokens, peak_bytes;     /* peak: the largest */
    size_t no_wall, no_cpu, no_energy, no_money;         /* parts that are not in these sums, or not wholly */
    bool energy_at_least, estimated;
    size_t n_money;
    struct {
        const char *currency;
        int64_t micro;
    } money[AC_COST_CURRENCIES];
} ac_cost_sum;
ac_status ac_cost_add(ac_cost_sum *s, const ac_cost_part *p, ac_err *err);
const char *ac_cost_key(const ac_cost_part *p, ac_cost_by by, ac_arena *a);     /* NULL: out of memory */
/* Sorted by key; n_runs counts each run once a row. */
ac_status ac_cost_sums(ac_cost_sum **out, size_t *n_out, const ac_cost_part *p, size_t n, ac_cost_by by, ac_arena *a, ac_err *err);
ac_status ac_cost_total(ac_cost_sum *out, const ac_cost_part *p, size_t n_parts, ac_arena *a, ac_err *err);

/* "0:12.345, 0:22.100 of processor, 0.131 Wh by RAPL, 0.001234 USD", and what is missing. */
void      ac_cost_sentence(ac_str *out, const ac_cost_part *part, size_t n_parts);
/* The same of a run folder; "not booked" where it has no part. */
ac_status ac_cost_run_sentence(ac_str *out, const char *run_dir, ac_err *err);
/* What all this bought: runs with WIN, and points gained over base: the best run's of each project, none counted twice. */
typedef struct {
    size_t wins;
    double points;
} ac_cost_gain;
ac_status ac_cost_gain_of(ac_cost_gain *out, const ac_cost_part *p, size_t n, ac_arena *a, ac_err *err);

/* The same work on a node: cost.node_hour, cost.node_speed. */
typedef struct {
    bool known;                  /* both rates, and the wall time */
    int64_t node_ms, node_micro; /* there, for this much work */
    int64_t here_micro;          /* rent and energy of this machine for it; -1: nothing of it is counted */
    int64_t price_micro;         /* of the own machine; 0: not owned */
    int64_t runs;                /* like this one, from which owning is no dearer than the node; -1: never; 0: not owned */
} ac_cost_node;
void ac_cost_node_of(ac_cost_node *out, const ac_cost_rates *r, int64_t wall_ms, int64_t here_micro);

#endif
