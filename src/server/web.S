/* The files of web.def, as they are. */
        .section .rodata
#define F(symbol, path, type, file)                                                                \
        .globl mk_web_##symbol, mk_web_##symbol##_end;                                             \
        mk_web_##symbol: .incbin file;                                                             \
        mk_web_##symbol##_end: .byte 0;
#include "server/web.def"
#undef F
        .section .note.GNU-stack, "", %progbits
