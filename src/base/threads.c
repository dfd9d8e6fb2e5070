/* How many threads to use when nobody says: what the scheduler, the container and the cores each allow. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parallel.h"
#include "threads.h"

#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#define PATH_SIZE 512
#define MAX_CPUS 4096

static int min_int(int a, int b) { return a < b ? a : b; }

static int read_line(const char *path, char *line, int size) {
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    const int ok = fgets(line, size, f) != NULL;
    fclose(f);
    return ok;
}

/* ---- cgroups -------------------------------------------------------------------------------------------- */

/* Processors a quota of this directory grants, 0 where it sets none. */
static double quota_v2(const char *dir) {
    char path[PATH_SIZE + 16], line[128];
    long long quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", dir);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lld %lld", &quota, &period) != 2) return 0;
    return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

static double quota_v1(const char *dir) {
    char path[PATH_SIZE + 32], line[128];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", dir);
    const long long quota = read_line(path, line, sizeof line) ? atoll(line) : -1;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir);
    const long long period = read_line(path, line, sizeof line) ? atoll(line) : -1;
    return quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

/* The smallest quota from group up to mount: a parent's limit binds its children. */
static double least_quota(const char *mount, const char *group, double (*quota_of)(const char *)) {
    char dir[PATH_SIZE];
    const size_t stem = strlen(mount);
    double least = 0;
    if (snprintf(dir, sizeof dir, "%s%s", mount, group) >= (int)sizeof dir) return 0;
    for (;;) {
        const double quota = quota_of(dir);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
        char *slash = strrchr(dir, '/');
        if (strlen(dir) <= stem || !slash || slash < dir + stem) return least;
        *slash = '\0';
    }
}

static int has_word(const char *list, const char *word) {
    const size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n)
        if ((p == list || p[-1] == ',') && (p[n] == ',' || p[n] == '\0')) return 1;
    return 0;
}

/* One line "id:controllers:group" of /proc/self/cgroup; version 2 has no controllers. */
static double line_quota(const char *root, char *line) {
    char mount[PATH_SIZE];
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) return 0;
    *group++ = '\0';
    controllers++;
    group[strcspn(group, "\n")] = '\0';
    if (*controllers == '\0') {
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
        return least_quota(mount, group, quota_v2);
    }
    if (!has_word(controllers, "cpu")) return 0;
    snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/cpu", root);
    const double quota = least_quota(mount, group, quota_v1);
    if (quota > 0) return quota;
    snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/%s", root, controllers);
    return least_quota(mount, group, quota_v1);
}

double fnn_cgroup_cpus(const char *root) {
    char path[PATH_SIZE], line[PATH_SIZE];
    double least = 0;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    while (fgets(line, sizeof line, f)) {
        const double quota = line_quota(root, line);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
    }
    fclose(f);
    return least;
}

/* ---- affinity and cores --------------------------------------------------------------------------------- */

#if defined(__linux__)

/* allowed[i] set for each processor of the affinity mask; the number of them. */
static int read_affinity(unsigned char *allowed) {
    cpu_set_t *set = CPU_ALLOC(MAX_CPUS);
    const size_t size = CPU_ALLOC_SIZE(MAX_CPUS);
    int count = 0;
    memset(allowed, 0, MAX_CPUS);
    if (set && sched_getaffinity(0, size, set) == 0)
        for (int i = 0; i < MAX_CPUS; i++) count += allowed[i] = CPU_ISSET_S(i, size, set) ? 1 : 0;
    CPU_FREE(set);
    return count;
}

static int read_int(const char *root, int processor, const char *name, int fallback) {
    char path[PATH_SIZE], line[64];
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/topology/%s", root, processor, name);
    return read_line(path, line, sizeof line) ? atoi(line) : fallback;
}

int fnn_physical_cores(const char *root, const unsigned char *allowed, int n) {
    int count = 0;
    int (*seen)[2] = malloc((size_t)n * sizeof *seen);
    if (!seen) return n;
    for (int i = 0; i < n; i++) {
        if (!allowed[i]) continue;
        const int package = read_int(root, i, "physical_package_id", 0);
        const int core = read_int(root, i, "core_id", i);
        int j = 0;
        while (j < count && (seen[j][0] != package || seen[j][1] != core)) j++;
        if (j < count) continue;
        seen[count][0] = package;
        seen[count++][1] = core;
    }
    free(seen);
    return count;
}

static void count_cpus(int *affinity, int *cores) {
    unsigned char allowed[MAX_CPUS];
    *affinity = read_affinity(allowed);
    if (*affinity > 0)
        *cores = fnn_physical_cores("", allowed, MAX_CPUS);
    else
        *affinity = *cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
}

#else

static void count_cpus(int *affinity, int *cores) {
    *affinity = *cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__APPLE__)
    size_t size = sizeof *cores;
    sysctlbyname("hw.physicalcpu", cores, &size, NULL, 0);
#endif
}

#endif

/* Whole processors only: the thread that has just a part of one would be throttled while the others wait for it. */
static int whole(double quota) { return quota < 1 ? 1 : (int)quota; }

int fnn_default_threads(char *why, size_t size) {
    int affinity = 1, cores = 1;
    count_cpus(&affinity, &cores);
    const double quota = fnn_cgroup_cpus("");
    int n = min_int(affinity, cores);
    if (quota > 0) n = min_int(n, whole(quota));
    if (n < 1) n = 1;
    char limit[48] = "no cgroup quota";
    if (quota > 0) snprintf(limit, sizeof limit, "cgroup quota %.2f", quota);
    snprintf(why, size, "the least of %d physical cores, %d processors in the affinity mask, %s", cores, affinity,
             limit);
    return n;
}

static int available = 1;

static void find_available(void) {
    int affinity = 1, cores = 1;
    count_cpus(&affinity, &cores);
    const double quota = fnn_cgroup_cpus("");
    available = quota > 0 ? min_int(affinity, whole(quota)) : affinity;
}

int fnn_available_cpus(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_available);
    return available;
}
