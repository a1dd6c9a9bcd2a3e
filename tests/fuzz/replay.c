/* Runs a fuzz target over files and the files of folders, each in memory of exactly its
 * size.  Fails when there was none.
 *
 *   replay_NAME FILE_OR_FOLDER... */
#include "base/file.h"
#include "base/str.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int n_files;

static bool replay_file(const char *path, struct mk_err *err)
{
    struct mk_map m;
    if (!mk_map_open(&m, path, err)) return false;
    uint8_t *copy = malloc(m.size ? m.size : 1);
    if (!copy) return mk_fail(err, MK_ENOMEM, "%s: no memory", path);
    if (m.size) memcpy(copy, m.data, m.size);
    LLVMFuzzerTestOneInput(copy, m.size);
    free(copy);
    mk_map_close(&m);
    n_files++;
    return true;
}

static bool replay_folder(const char *dir, struct mk_err *err)
{
    DIR *d = opendir(dir);
    if (!d) return mk_fail_errno(err, "%s", dir);
    bool ok = true;
    for (const struct dirent *e; ok && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        struct mk_str path = {0};
        mk_str_addf(&path, "%s/%s", dir, e->d_name);
        ok = replay_file(path.data, err);
        mk_str_release(&path);
    }
    closedir(d);
    return ok;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct mk_err err;
        if (mk_is_dir(argv[i]) ? replay_folder(argv[i], &err) : replay_file(argv[i], &err))
            continue;
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    printf("%d files\n", n_files);
    return n_files ? 0 : 1;
}
