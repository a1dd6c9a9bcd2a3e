#ifndef MK_BASE_CLOCK_H
#define MK_BASE_CLOCK_H
/* Seconds of a clock that only goes forward; differences are what it is for. */
double mk_now_s(void);
/* Seconds since 1970, UTC: for records that people read, never for differences. */
double mk_wall_s(void);
/* Processor time of the whole process, all threads together. */
double mk_cpu_s(void);
/* Energy that the processors have taken so far, by their own meters; 0 where the machine does
 * not tell. */
double mk_joules(void);
#endif
