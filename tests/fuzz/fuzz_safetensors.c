/* The safetensors header. */
#include "fuzz.h"

#include "formats/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mk_map map = {data, size};
    struct mk_arena arena = {0};
    struct mk_tensor *list = NULL;
    size_t n = 0;
    struct mk_err err;
    if (mk_safetensors_parse(&arena, &list, &n, &map, "f", &err)) fuzz_touch(list, n);
    mk_arena_release(&arena);
    return 0;
}
