#ifndef MK_SERVER_NOTIFY_H
#define MK_SERVER_NOTIFY_H
/* Words for whoever started the service and wants to know how it stands: sd_notify(3) without its
 * library. */

/* path: of the socket that listens, "@NAME" in the abstract namespace; NULL: nobody does.  -1 where
 * nobody can be told. */
int mk_notify_open(const char *path);
/* "READY=1", "STOPPING=1"; fd may be -1. */
void mk_notify(int fd, const char *text);
#endif
