#ifndef MK_BASE_RESIDENT_H
#define MK_BASE_RESIDENT_H
/* How much memory there is.  0 where the system does not tell. */
#include <stddef.h>

/* That the process has in use now, mapped pages of files included. */
size_t mk_resident_bytes(void);
/* That a program may still take: what the machine has left (caches that can go included), or
 * what the process's control group (either version) allows if that is less. */
size_t mk_memory_available(void);
#endif
