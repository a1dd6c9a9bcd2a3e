/* The frame of a picture: title, legend, one plot or many small ones. */
#include "train/plot.h"

#include "base/mem.h"
#include "train/int_plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = 640,
    PLOT_HEIGHT = 270, /* between the axes */
    LEFT = 60,
    RIGHT = 20,
    TITLE_HEIGHT = 34,
    LEGEND_ROW = 20,
    BOTTOM = 42,
    PANEL_COLS = 4,
    PANEL_HEIGHT = 86,
    PANEL_ROW = PANEL_HEIGHT + 46,
    PANEL_LEFT = 44
};

void mk_plot_escape(struct mk_str *out, const char *s, size_t n)
{
    struct mk_str clean = {0};
    mk_str_add_utf8(&clean, s, n);
    for (size_t i = 0; i < clean.len; i++) {
        const unsigned char c = (unsigned char)clean.data[i];
        switch (c) {
        case '&':
            mk_str_add(out, "&amp;");
            break;
        case '<':
            mk_str_add(out, "&lt;");
            break;
        case '>':
            mk_str_add(out, "&gt;");
            break;
        case '"':
            mk_str_add(out, "&quot;");
            break;
        case '\'':
            mk_str_add(out, "&#39;");
            break;
        default:
            if (c < 0x20 && c != '\n' && c != '\t')
                mk_str_add_cp(out, 0xfffd);
            else
                mk_str_addc(out, (char)c);
        }
    }
    /* U+FFFE and U+FFFF are valid UTF-8 but not XML. */
    for (char *p = out->data; p && (p = strstr(p, "\xef\xbf")); p += 2)
        if (p[2] == '\xbe' || p[2] == '\xbf') p[2] = '\xbd';
    mk_str_release(&clean);
}

/* ---- style ----------------------------------------------------------------------------------- */

static const char *const light[MK_PLOT_COLORS] = {"#0072b2", "#d55e00", "#009e73", "#b8579a",
                                                  "#c98a00", "#3a9fd8", "#555555", "#8c6d1f"};
static const char *const dark[MK_PLOT_COLORS] = {"#4aa8e8", "#ff8a3c", "#2cc79b", "#e39ac8",
                                                 "#f0bf4c", "#9ad4f7", "#c4c4c4", "#f0e442"};

static void add_colors(struct mk_str *out, const char *const colors[MK_PLOT_COLORS])
{
    for (int i = 0; i < MK_PLOT_COLORS; i++)
        mk_str_addf(out, ".mk .c%d{stroke:%s}.mk .f%d{fill:%s}", i, colors[i], i, colors[i]);
}

void mk_plot_css(struct mk_str *out)
{
    mk_str_add(out, ".mk text{font:12px system-ui,-apple-system,\"Segoe UI\",\"DejaVu Sans\","
                    "sans-serif;fill:#4a4a4a}"
                    ".mk .title{font-size:15px;font-weight:600;fill:#1a1a1a}"
                    ".mk .name{font-size:11px;font-weight:600;fill:#1a1a1a}"
                    ".mk .small{font-size:10px}"
                    ".mk .bg{fill:#ffffff}.mk .grid{stroke:#e4e4e4;stroke-width:1}"
                    ".mk .axis{stroke:#9a9a9a;stroke-width:1}"
                    ".mk .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
                    ".mk .raw{fill:none;stroke-width:1;stroke-opacity:.28}");
    add_colors(out, light);
    mk_str_add(out, "@media (prefers-color-scheme:dark){.mk text{fill:#b5b5b5}"
                    ".mk .title,.mk .name{fill:#f0f0f0}.mk .bg{fill:#16181c}"
                    ".mk .grid{stroke:#2e3238}.mk .axis{stroke:#6b7078}"
                    ".mk .raw{stroke-opacity:.35}");
    add_colors(out, dark);
    mk_str_add(out, "}");
}

static void begin(struct mk_str *out, const char *title, double height, bool is_inline)
{
    mk_str_addf(out,
                "<svg class=\"mk\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" "
                "width=\"%d\" height=\"%.0f\" role=\"img\">\n<title>",
                WIDTH, height, WIDTH, height);
    mk_plot_escape(out, title, strlen(title));
    mk_str_add(out, "</title>\n");
    if (!is_inline) {
        mk_str_add(out, "<style>");
        mk_plot_css(out);
        mk_str_add(out, "</style>\n");
    }
    mk_str_addf(out, "<rect class=\"bg\" width=\"%d\" height=\"%.0f\"/>\n", WIDTH, height);
}

static void put_text(struct mk_str *out, double x, double y, const char *attributes,
                     const char *text)
{
    mk_str_addf(out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
    mk_plot_escape(out, text, strlen(text));
    mk_str_add(out, "</text>\n");
}

/* ---- legend --------------------------------------------------------------------------------- */

/* Places of the legend's entries; gives its height.  A letter is about 6.6 pixels wide. */
static double legend(struct mk_str *out, const struct mk_plot *p, double y)
{
    double x = LEFT - 40;
    size_t rows = p->n_lines > 1;
    for (size_t i = 0; p->n_lines > 1 && i < p->n_lines; i++) {
        const struct mk_plot_line *l = &p->lines[i];
        const double w = 40 + 6.6 * (double)strlen(l->label);
        if (x + w > WIDTH - RIGHT && x > LEFT - 40) {
            x = LEFT - 40;
            rows++;
        }
        if (out) {
            const double at = y + (double)rows * LEGEND_ROW - 6;
            mk_str_addf(out,
                        "<line class=\"line c%u\"%s x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                        "y2=\"%.1f\"/>\n",
                        l->color % MK_PLOT_COLORS, mk_plot_dash(l->dash), x, at - 4, x + 18,
                        at - 4);
            put_text(out, x + 24, at, "", l->label);
        }
        x += w;
    }
    return (double)rows * LEGEND_ROW;
}

/* ---- pictures ------------------------------------------------------------------------------- */

static void put_title(struct mk_str *out, const char *title, const char *unit)
{
    struct mk_str s = {0};
    mk_str_add(&s, title);
    if (unit && *unit) mk_str_addf(&s, ", %s", unit);
    put_text(out, LEFT - 40, 24, "class=\"title\"", s.data);
    mk_str_release(&s);
}

void mk_plot_svg(struct mk_str *out, const struct mk_plot *p, bool is_inline)
{
    const double top = TITLE_HEIGHT + legend(NULL, p, 0) + 8;
    struct mk_frame f = {.box = {LEFT, top, WIDTH - LEFT - RIGHT, PLOT_HEIGHT}};
    begin(out, p->title, top + PLOT_HEIGHT + BOTTOM, is_inline);
    put_title(out, p->title, p->unit);
    legend(out, p, TITLE_HEIGHT);
    mk_plot_axes(&f, p, 1);
    mk_plot_grid(out, &f, p, false);
    mk_plot_lines(out, &f, p);
    put_text(out, LEFT + f.box.w / 2, top + PLOT_HEIGHT + 36, "text-anchor=\"middle\"",
             p->x_name ? p->x_name : "step");
    mk_str_add(out, "</svg>\n");
}

/* Where a panel's only line ends. */
static void put_last(struct mk_str *out, const struct mk_frame *f, const struct mk_plot *p)
{
    char text[32];
    if (p->n_lines != 1 || !p->lines[0].n) return;
    const struct mk_plot_line *l = &p->lines[0];
    double *y = mk_calloc(l->n, sizeof *y);
    mk_plot_smooth(y, l->y, l->n, mk_plot_weight(p, l->n));
    size_t n = l->n;
    while (n && !isfinite(y[n - 1])) n--;
    if (n) {
        mk_plot_number(text, y[n - 1], p->is_share ? 0.001 : fabs(y[n - 1]) / 100, p->is_share);
        put_text(out, f->box.x + f->box.w, f->box.y - 8, "text-anchor=\"end\" class=\"small\"",
                 text);
    }
    free(y);
}

void mk_plot_panels(struct mk_str *out, const char *title, const struct mk_plot *panels, size_t n,
                    bool is_inline)
{
    const size_t rows = (n + PANEL_COLS - 1) / PANEL_COLS;
    const double top = TITLE_HEIGHT + (n ? legend(NULL, &panels[0], 0) : 0) + 8;
    const double w = (double)(WIDTH - RIGHT) / PANEL_COLS;
    struct mk_frame f;
    memset(&f, 0, sizeof f);
    begin(out, title, top + (double)rows * PANEL_ROW + 6, is_inline);
    put_title(out, title, n ? panels[0].unit : NULL);
    if (n) legend(out, &panels[0], TITLE_HEIGHT);
    mk_plot_axes(&f, panels, n);
    for (size_t i = 0; i < n; i++) {
        f.box = (struct mk_box){(double)(i % PANEL_COLS) * w + PANEL_LEFT,
                                top + (double)(i / PANEL_COLS) * PANEL_ROW + 20, w - PANEL_LEFT,
                                PANEL_HEIGHT};
        put_text(out, f.box.x, f.box.y - 8, "class=\"name\"", panels[i].title);
        put_last(out, &f, &panels[i]);
        mk_plot_grid(out, &f, &panels[i], true);
        mk_plot_lines(out, &f, &panels[i]);
    }
    mk_str_add(out, "</svg>\n");
}
