#include "cli/embedded.h"

#include "base/file.h"

extern const uint8_t mk_tiny[], mk_tiny_end[]; /* tiny.S */

void mk_embedded_init(void)
{
    static struct mk_blob tiny = {.name = MK_EMBEDDED_TINY, .data = mk_tiny};
    tiny.size = (size_t)(mk_tiny_end - mk_tiny);
    mk_blobs_set(&tiny, 1);
}
