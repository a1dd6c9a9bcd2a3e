#ifndef MK_BASE_CLOCK_H
#define MK_BASE_CLOCK_H
/* Seconds of a clock that only goes forward; differences are what it is for. */
double mk_now_s(void);
#endif
