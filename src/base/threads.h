/* The parts of fnn_default_threads that read files, under any root so that tests can give their own. */
#ifndef FASTNN_BASE_THREADS_H
#define FASTNN_BASE_THREADS_H

/* Processors that the cgroup quota grants (version 1 or 2, the least on the way to the root); 0: no quota. */
double fnn_cgroup_cpus(const char *root);
/* Distinct cores among processors i < n with allowed[i] set. Linux only. */
int fnn_physical_cores(const char *root, const unsigned char *allowed, int n);

#endif
