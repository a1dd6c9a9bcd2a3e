#ifndef MK_SERVER_CONFINE_H
#define MK_SERVER_CONFINE_H
/* What a server gives up, so that a fault in it reaches less.  Neither can be undone. */
#include "base/err.h"

/* From now on this thread, and those it starts, can write, create, remove and execute no file, but
 * for sockets below one folder and plain files below another (NULL: none).  Reading stays as it
 * was.  By Landlock: MK_EUNSUPPORTED where the kernel has none. */
bool mk_confine_files(const char *socket_folder, const char *cache_folder,
                      struct mk_err *err) MK_CHECKED;
/* From now on no thread of the process can start a program, open a socket or connect one, look into
 * other processes or change what the system is made of: such calls fail with EPERM.  By seccomp. */
bool mk_confine_calls(struct mk_err *err) MK_CHECKED;
#endif
