#include "base/resident.h"

#include "base/file.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PROC_BYTES = 1 << 20 };

/* The number behind key in a file of the system; -1: none. */
static double number_after(const char *path, const char *key)
{
    struct mk_str text = {0};
    double v = -1;
    if (!mk_file_read(&text, path, MAX_PROC_BYTES, NULL)) return v;
    const char *at = strstr(mk_str_c(&text), key);
    uint64_t n;
    if (at && sscanf(at + strlen(key), " %" SCNu64, &n) == 1) v = (double)n;
    mk_str_release(&text);
    return v;
}

size_t mk_resident_bytes(void)
{
    struct mk_str text = {0};
    size_t pages = 0;
    if (!mk_file_read(&text, "/proc/self/statm", MAX_PROC_BYTES, NULL)) return 0;
    if (sscanf(mk_str_c(&text), "%*u %zu", &pages) != 1) pages = 0;
    mk_str_release(&text);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* What a group's limit leaves beside what its processes hold other than caches; -1: no limit. */
static double left_in(const char *folder, const char *limit, const char *held)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, limit);
    const double most = number_after(path, "");
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    const double used = number_after(path, held);
    return most < 0 ? -1 : most - (used > 0 ? used : 0);
}

/* Inside a container the group's own folder is the root of what can be seen. */
static double left_in_group(const char *root, const char *group, const char *limit,
                            const char *held)
{
    char folder[2048];
    snprintf(folder, sizeof folder, "%s%s", root, group);
    const double left = left_in(folder, limit, held);
    return left < 0 ? left_in(root, limit, held) : left;
}

/* The group of a line "0::/GROUP" or "N:memory:/GROUP" of /proc/self/cgroup. */
static bool group_of(const char *text, const char *mark, char *out, size_t size)
{
    const char *at = strstr(text, mark);
    if (!at) return false;
    at += strlen(mark);
    const size_t n = strcspn(at, "\n");
    if (n >= size) return false;
    memcpy(out, at, n);
    out[n] = '\0';
    return true;
}

static double lesser(double a, double b) { return b >= 0 && (a < 0 || b < a) ? b : a; }

size_t mk_memory_available(void)
{
    struct mk_str text = {0};
    char group[1024];
    double left = number_after("/proc/meminfo", "MemAvailable:");
    if (left > 0) left *= 1024;
    if (mk_file_read(&text, "/proc/self/cgroup", MAX_PROC_BYTES, NULL)) {
        if (group_of(mk_str_c(&text), "0::", group, sizeof group))
            left = lesser(left, left_in_group("/sys/fs/cgroup", group, "memory.max", "anon"));
        if (group_of(mk_str_c(&text), ":memory:", group, sizeof group))
            left = lesser(left, left_in_group("/sys/fs/cgroup/memory", group,
                                              "memory.limit_in_bytes", "total_rss"));
    }
    mk_str_release(&text);
    return left > 0 ? (size_t)left : 0;
}
