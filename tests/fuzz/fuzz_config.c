/* config.json. */
#include "fuzz.h"

#include "formats/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mk_config c;
    struct mk_err err;
    if (mk_config_parse(&c, (const char *)data, size, "f", &err)) {
        fuzz_config(&c);
        mk_config_close(&c);
    }
    return 0;
}
