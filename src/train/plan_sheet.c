/* Rows of labels, numbers and sources; the same calls give a text or a JSON object. */
#include "train/int_plan.h"

#include <assert.h>
#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_WIDTH = 28, CELL_WIDTH = 13 };

/* ---- numbers for people -------------------------------------------------------------------- */

/* Four digits and a prefix: "671.0 G". */
static void put_human(char out[32], double v, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E", "Z", "Y"};
    size_t p = 0;
    for (; fabs(v) >= 999.95 && p < 8; p++) v /= 1000;
    const int digits = fabs(v) >= 100 ? 1 : fabs(v) >= 10 ? 2 : 3;
    if (p == 0 && v == floor(v))
        snprintf(out, 32, "%.0f%s%s", v, *unit ? " " : "", unit);
    else
        snprintf(out, 32, "%.*f %s%s", digits, v, prefixes[p], unit);
}

/* "2,672,312" */
static void put_grouped(char *out, double v)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%.0f", v);
    size_t n = 0;
    for (const char *p = digits; *p && n < 30; p++) {
        const size_t left = strlen(p);
        out[n++] = *p;
        if (left > 1 && left % 3 == 1 && isdigit((unsigned char)*p)) out[n++] = ',';
    }
    out[n] = '\0';
}

static void show_money(char out[32], double v)
{
    if (v < 100) {
        snprintf(out, 32, "$%.2f", v);
    } else {
        out[0] = '$';
        put_grouped(out + 1, v);
    }
}

static void show_hours(char out[32], double v)
{
    if (v < 100)
        snprintf(out, 32, "%.3g h", v);
    else
        put_grouped(out, v), strcat(out, " h");
}

static void show(char out[32], double v, enum mk_unit unit)
{
    switch (unit) {
    case MK_UNIT_COUNT:
        put_human(out, v, "");
        return;
    case MK_UNIT_BYTES:
        put_human(out, v, "B");
        return;
    case MK_UNIT_BYTES_S:
        put_human(out, v, "B/s");
        return;
    case MK_UNIT_FLOP:
        put_human(out, v, "FLOP");
        return;
    case MK_UNIT_FLOPS:
        put_human(out, v, "FLOP/s");
        return;
    case MK_UNIT_RATE:
        put_human(out, v, "tok/s");
        return;
    case MK_UNIT_HOURS:
        show_hours(out, v);
        return;
    case MK_UNIT_USD:
        show_money(out, v);
        return;
    case MK_UNIT_SHARE:
        snprintf(out, 32, "%.1f %%", 100 * v);
        return;
    case MK_UNIT_SECONDS:
        snprintf(out, 32, "%.3g s", v);
        return;
    case MK_UNIT_DAYS:
        snprintf(out, 32, v < 1 ? "%.3g h" : "%.3g days", v < 1 ? 24 * v : v);
        return;
    case MK_UNIT_PLAIN:
        snprintf(out, 32, "%.6g", v);
        return;
    }
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void add_json_text(struct mk_str *out, const char *s)
{
    json_t *v = json_string(s);
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    mk_str_add(out, text ? text : "null");
    free(text);
    json_decref(v);
}

/* "GPU hours" is the key "gpu_hours". */
static void add_key(struct mk_str *out, const char *label)
{
    mk_str_addc(out, '"');
    bool is_gap = false, is_first = true;
    for (; *label; label++) {
        if (!isalnum((unsigned char)*label)) {
            is_gap = true;
            continue;
        }
        if (is_gap && !is_first) mk_str_addc(out, '_');
        mk_str_addc(out, (char)tolower((unsigned char)*label));
        is_gap = is_first = false;
    }
    mk_str_add(out, "\": ");
}

/* ---- the sheet ------------------------------------------------------------------------------ */

void mk_sheet_begin(struct mk_sheet *s, struct mk_str *out, bool is_json)
{
    *s = (struct mk_sheet){.out = out, .is_json = is_json};
    if (is_json) mk_str_add(out, "{");
}

static void end_row(struct mk_sheet *s)
{
    if (!s->has_row) return;
    if (s->is_json) {
        if (s->note[0]) {
            mk_str_add(s->out, s->col ? ", \"note\": " : "\"note\": ");
            add_json_text(s->out, s->note);
        }
        mk_str_add(s->out, "}");
    } else {
        if (s->note[0]) {
            for (size_t i = s->col; i < s->n_cols; i++) mk_str_addf(s->out, "%*s", CELL_WIDTH, "");
            mk_str_addf(s->out, "  %s", s->note);
        }
        mk_str_add(s->out, "\n");
    }
}

static void end_section(struct mk_sheet *s)
{
    end_row(s);
    if (s->is_json && s->has_section) mk_str_add(s->out, "\n  }");
    s->has_row = false;
}

void mk_sheet_section(struct mk_sheet *s, const char *title, ...)
{
    end_section(s);
    va_list ap;
    va_start(ap, title);
    s->n_cols = 0;
    for (const char *c; (c = va_arg(ap, const char *));) {
        assert(s->n_cols < MK_SHEET_COLS);
        s->cols[s->n_cols++] = c;
    }
    va_end(ap);
    if (s->is_json) {
        mk_str_add(s->out, s->has_section ? ",\n  " : "\n  ");
        add_key(s->out, title);
        mk_str_add(s->out, "{");
    } else {
        mk_str_addf(s->out, "%s%-*s", s->has_section ? "\n" : "", LABEL_WIDTH, title);
        if (s->n_cols > 1 || strcmp(s->cols[0], "value") != 0)
            for (size_t i = 0; i < s->n_cols; i++)
                mk_str_addf(s->out, "%*s", CELL_WIDTH, s->cols[i]);
        while (s->out->len && s->out->data[s->out->len - 1] == ' ')
            s->out->data[--s->out->len] = '\0';
        mk_str_add(s->out, "\n");
    }
    s->has_section = true;
}

__attribute__((format(printf, 3, 0))) static void begin_row(struct mk_sheet *s, const char *label,
                                                            const char *note, va_list ap)
{
    end_row(s);
    if (s->is_json) {
        mk_str_add(s->out, s->has_row ? ",\n    " : "\n    ");
        add_key(s->out, label);
        mk_str_add(s->out, "{");
    } else {
        mk_str_addf(s->out, "  %-*s", LABEL_WIDTH - 2, label);
    }
    s->note[0] = '\0';
    if (note) vsnprintf(s->note, sizeof s->note, note, ap);
    s->has_row = true;
    s->col = 0;
}

void mk_sheet_row(struct mk_sheet *s, const char *label, const char *note, ...)
{
    va_list ap;
    va_start(ap, note);
    begin_row(s, label, note, ap);
    va_end(ap);
}

static void begin_cell(struct mk_sheet *s)
{
    assert(s->col < s->n_cols);
    if (s->is_json) {
        if (s->col) mk_str_add(s->out, ", ");
        add_key(s->out, s->cols[s->col]);
    }
    s->col++;
}

void mk_sheet_put(struct mk_sheet *s, double value, enum mk_unit unit)
{
    char text[32];
    begin_cell(s);
    if (s->is_json) {
        mk_str_addf(s->out, isfinite(value) ? "%.12g" : "null", value);
        return;
    }
    show(text, value, unit);
    mk_str_addf(s->out, "%*s", CELL_WIDTH, text);
}

void mk_sheet_word(struct mk_sheet *s, const char *text)
{
    begin_cell(s);
    if (s->is_json)
        add_json_text(s->out, text);
    else
        mk_str_addf(s->out, "%*s", CELL_WIDTH, text);
}

void mk_sheet_value(struct mk_sheet *s, const char *label, double value, enum mk_unit unit,
                    const char *note, ...)
{
    va_list ap;
    va_start(ap, note);
    begin_row(s, label, note, ap);
    va_end(ap);
    mk_sheet_put(s, value, unit);
}

void mk_sheet_end(struct mk_sheet *s)
{
    end_section(s);
    if (s->is_json) mk_str_add(s->out, "\n}\n");
}
