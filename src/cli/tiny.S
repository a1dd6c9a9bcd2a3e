/* The file MK_TINY as bytes of the program: read-only, and like a mapped file in memory only
 * where they are used. */
        .section .rodata
        .balign 64
        .globl  mk_tiny, mk_tiny_end
mk_tiny:
        .incbin MK_TINY
mk_tiny_end:
        .byte   0
        .section .note.GNU-stack, "", %progbits
