#ifndef MK_TRAIN_INT_PLAN_H
#define MK_TRAIN_INT_PLAN_H
/* Private to plan_*.c: tables of numbers with their unit and source, shown to people or written
 * as JSON from the same calls:
 *
 *     mk_sheet_section(&s, "training", "value", NULL);
 *     mk_sheet_value(&s, "time", hours, MK_UNIT_HOURS, "tokens x FLOP / speed");
 *
 * JSON: {"training": {"time": {"value": 2.0, "note": "..."}}}; units in JSON are the plain ones
 * (hours, bytes, FLOP, dollars, shares of 1). */
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum mk_unit {
    MK_UNIT_COUNT, /* 671.03 G */
    MK_UNIT_BYTES,
    MK_UNIT_BYTES_S,
    MK_UNIT_FLOP,
    MK_UNIT_FLOPS, /* a second */
    MK_UNIT_HOURS,
    MK_UNIT_DAYS,
    MK_UNIT_SECONDS,
    MK_UNIT_USD,
    MK_UNIT_RATE,  /* tokens a second */
    MK_UNIT_SHARE, /* per cent */
    MK_UNIT_PLAIN
};
enum { MK_SHEET_COLS = 5 };

struct mk_sheet {
    struct mk_str *out;
    bool is_json, has_section, has_row;
    const char *cols[MK_SHEET_COLS + 1];
    size_t n_cols, col;
    char note[320]; /* of the row being written */
};
void mk_sheet_begin(struct mk_sheet *s, struct mk_str *out, bool is_json);
/* Column names, NULL-terminated; "value" alone prints no header. */
void mk_sheet_section(struct mk_sheet *s, const char *title, ...);
/* A row and its cells in the order of the columns.  note: NULL or printf-like. */
void mk_sheet_row(struct mk_sheet *s, const char *label, const char *note, ...)
    __attribute__((format(printf, 3, 4)));
void mk_sheet_put(struct mk_sheet *s, double value, enum mk_unit unit);
void mk_sheet_word(struct mk_sheet *s, const char *text); /* a cell that is text */
/* A row of one cell. */
void mk_sheet_value(struct mk_sheet *s, const char *label, double value, enum mk_unit unit,
                    const char *note, ...) __attribute__((format(printf, 5, 6)));
void mk_sheet_end(struct mk_sheet *s);
#endif
