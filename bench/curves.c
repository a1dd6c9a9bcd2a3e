/* curves TITLE UNIT X: a table on stdin becomes a picture (SVG) on stdout, with a logarithmic
 * second axis.  The first line names the columns, comma between: the first is along X, each
 * other one a curve.  Curves whose names differ in the last word only share a colour. */
#include "base/mem.h"
#include "train/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CURVES = 8, MAX_POINTS = 1024, MAX_LINE = 4096 };

static struct mk_plot_line curves[MAX_CURVES];
static double x[MAX_POINTS], y[MAX_CURVES][MAX_POINTS];

static void refuse(const char *what)
{
    fprintf(stderr, "curves: %s\n", what);
    exit(2);
}

/* How much of a name curves of one colour share. */
static size_t stem(const char *name)
{
    const char *last = strrchr(name, ' ');
    return last ? (size_t)(last - name) : strlen(name);
}

static bool is_akin(const char *a, const char *b)
{
    return stem(a) == stem(b) && strncmp(a, b, stem(a)) == 0;
}

static size_t read_names(char *line)
{
    size_t n = 0;
    strtok(line, ",\n");
    for (const char *name; (name = strtok(NULL, ",\n")); n++) {
        if (n == MAX_CURVES) refuse("more than 8 curves");
        size_t i = 0, n_colors = 0;
        while (i < n && !is_akin(curves[i].label, name)) i++;
        for (size_t k = 0; k < n; k++)
            if (n_colors <= curves[k].color) n_colors = curves[k].color + 1;
        curves[n] = (struct mk_plot_line){.label = mk_strdup(name), .x = x, .y = y[n]};
        curves[n].color = (unsigned)(i < n ? curves[i].color : n_colors);
        for (size_t k = i; k < n; k++) curves[n].dash += is_akin(curves[k].label, name);
    }
    return n;
}

/* An empty value is none. */
static void read_values(const char *line, size_t n, size_t at)
{
    char *end;
    x[at] = strtod(line, &end);
    if (end == line) refuse("a line begins with no number");
    for (size_t i = 0; i < n; i++) {
        if (*end != ',') refuse("a line has too few values");
        const char *from = end + 1;
        y[i][at] = strtod(from, &end);
        if (end == from) y[i][at] = NAN;
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) refuse("usage: curves TITLE UNIT X < TABLE > SVG");
    char line[MAX_LINE];
    if (!fgets(line, sizeof line, stdin)) refuse("no table");
    const size_t n = read_names(line);
    size_t n_points = 0;
    for (; fgets(line, sizeof line, stdin); n_points++) {
        if (n_points == MAX_POINTS) refuse("more than 1024 lines");
        read_values(line, n, n_points);
    }
    for (size_t i = 0; i < n; i++) curves[i].n = n_points;
    struct mk_str svg = {0};
    const struct mk_plot p = {.title = argv[1],
                              .unit = argv[2],
                              .x_name = argv[3],
                              .lines = curves,
                              .n_lines = n,
                              .is_log = true,
                              .has_dots = true};
    mk_plot_svg(&svg, &p, false);
    fputs(mk_str_c(&svg), stdout);
    mk_str_release(&svg);
    return fflush(stdout) ? 1 : 0;
}
