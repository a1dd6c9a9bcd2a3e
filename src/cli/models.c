#include "cli/models.h"

#include "base/mem.h"
#include "cli/cli.h"
#include "hub/hub.h"

#include <stdlib.h>
#include <string.h>

char *mk_cli_models(void)
{
    char *models = mk_cli_xdg("XDG_DATA_HOME", ".local/share", "models");
    if (models) return models;
    struct mk_err err;
    mk_fail(&err, MK_EUSAGE, "no folder for models: neither HOME nor XDG_DATA_HOME is set");
    mk_cli_die(&err);
}

char *mk_cli_endpoint(void)
{
    const char *s = getenv("HF_ENDPOINT");
    if (!s || !*s) s = MK_HUB_ENDPOINT;
    size_t n = strlen(s);
    while (n && s[n - 1] == '/') n--;
    return mk_strndup(s, n);
}
