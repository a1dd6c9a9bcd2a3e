#ifndef MK_CLI_EMBEDDED_H
#define MK_CLI_EMBEDDED_H
/* The model that is part of the program (models/tiny, linked in by tiny.S).  It opens like a
 * file of this name, which -m tiny and no -m at all stand for. */
#define MK_EMBEDDED_TINY "embedded:tiny"

void mk_embedded_init(void); /* before any file is opened */
#endif
