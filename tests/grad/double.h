#ifndef TESTS_GRAD_DOUBLE_H
#define TESTS_GRAD_DOUBLE_H
/* Forced into every file of the double build (see Makefile): the same sources, with float
 * meaning double, so that gradients can be compared with differences to ten digits.
 *
 * System headers come first and keep their own float.  So does half.h, whose functions are
 * about the bits of real floats; half.c is compiled without this file. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/half.h"

#ifdef __clang__
#pragma clang diagnostic ignored "-Wkeyword-macro"
#endif
#define float double
#define cosf       cos
#define expf       exp
#define fabsf      fabs
#define fmaf       fma
#define fmaxf      fmax
#define fminf      fmin
#define log1pf     log1p
#define logf       log
#define nearbyintf nearbyint
#define powf       pow
#define sinf       sin
#define sqrtf      sqrt
#define tanhf      tanh
#endif
