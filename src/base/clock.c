#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double mk_now_s(void) { return seconds(CLOCK_MONOTONIC); }
double mk_wall_s(void) { return seconds(CLOCK_REALTIME); }

double mk_cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Linux's powercap: one folder for each socket, microjoules since it was last zero. */
double mk_joules(void)
{
    double sum = 0.0;
    for (int socket = 0; socket < 64; socket++) {
        char path[64];
        unsigned long long uj;
        snprintf(path, sizeof path, "/sys/class/powercap/intel-rapl:%d/energy_uj", socket);
        FILE *f = fopen(path, "r");
        if (!f) break;
        if (fscanf(f, "%llu", &uj) == 1) sum += (double)uj * 1e-6;
        fclose(f);
    }
    return sum;
}
