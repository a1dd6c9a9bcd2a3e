/* The hub's list of files: what is taken from it can be written below a folder. */
#include "fuzz.h"

#include "hub/int_hub.h"

#include <stdlib.h>
#include <string.h>

static void check(const char *text, const uint8_t *data, size_t size)
{
    struct mk_hub_name name;
    struct mk_repo r;
    struct mk_err err = {0};
    if (!mk_hub_name_parse(&name, text, &err)) abort();
    if (mk_repo_parse(&r, (const char *)data, size, &name, &err)) {
        for (size_t i = 0; i < r.n; i++)
            if (!mk_hub_is_safe_path(r.v[i].name) || strstr(r.v[i].name, "/.")) abort();
        mk_repo_release(&r);
    } else if (err.code == MK_OK || !err.msg[0]) {
        abort();
    }
    mk_hub_name_release(&name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check("a/b", data, size);
    check("a/b:x.gguf", data, size);
    check("a/b:x-00001-of-00002.gguf", data, size);
    return 0;
}
