#ifndef MK_BASE_FOLDER_H
#define MK_BASE_FOLDER_H
/* Folders: what is in them, removing them whole, folders that appear whole or not at all, and
 * locks that keep two processes apart. */
#include "base/err.h"

#include <stddef.h>
#include <stdio.h>

/* The entries of a folder in the order of strcmp(), without "." and "..". */
struct mk_folder_list { /* zeroed is valid and empty */
    char **v;
    size_t n, cap;
};
bool mk_folder_list(struct mk_folder_list *out, const char *path, struct mk_err *err) MK_CHECKED;
void mk_folder_list_release(struct mk_folder_list *l);

/* Removes a folder with all that is in it; links are removed and not followed.  Nothing there is
 * fine. */
bool mk_folder_remove(const char *path, struct mk_err *err) MK_CHECKED;

/* A folder PARENT/NAME that is filled as PARENT/.NAME.tmp.  _close syncs it and gives it its name;
 * one that has the name already is replaced.  _abandon (also after a failed _close: harmless)
 * removes what was written.  Its files are synced by whoever writes them (mk_out does). */
struct mk_folder_out {
    char *path, *temp, *old; /* old: PARENT/.NAME.old, what is being replaced */
};
bool mk_folder_out_open(struct mk_folder_out *o, const char *path, struct mk_err *err) MK_CHECKED;
bool mk_folder_out_close(struct mk_folder_out *o, struct mk_err *err) MK_CHECKED;
void mk_folder_out_abandon(struct mk_folder_out *o);
/* Whether there is a folder at path; brings back one whose replacement a kill interrupted. */
bool mk_folder_exists(const char *path);

/* After path was made, renamed or removed: that this happened survives a loss of power. */
bool mk_sync_parent(const char *path, struct mk_err *err) MK_CHECKED;

/* Held by one process at a time and given back when it ends, however it ends. */
struct mk_lock { /* zeroed is valid and holds nothing */
    FILE *f;
};
/* Fails with MK_EBUSY when another has it: "WHAT is in use by process 1234".  The file at path is
 * made if need be and stays. */
bool mk_lock_take(struct mk_lock *out, const char *path, const char *what,
                  struct mk_err *err) MK_CHECKED;
void mk_lock_release(struct mk_lock *l);
#endif
