/* How many CPUs this process may use.
 *
 * in:  the affinity mask; the quota files of cgroup v1 or v2
 * out: a count
 * law: the smallest quota on the way from the process's group to the root counts; whatever
 *      cannot be read sets no limit; a fraction of a CPU counts as none, but the whole is at least 1
 */
#include "runtime/cpus.h"
#include "runtime/tenon_rt.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 1024, LINE_BYTES = 1024, LARGEST_COUNT = 1 << 20 };

/* First line of <folder>/<name> without its newline. */
static bool read_line(const char *folder, const char *name, char *line) {
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (length < 0 || length >= (int)sizeof path) return false;
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    bool done = fgets(line, LINE_BYTES, file) != NULL;
    fclose(file);
    if (done) line[strcspn(line, "\n")] = '\0';
    return done;
}

static int whole_cpus(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return 0;
    long long cpus = quota / period;
    return cpus < 1 ? 1 : cpus > LARGEST_COUNT ? LARGEST_COUNT : (int)cpus;
}

/* Quota of one group's folder, 0: none. v2 has both figures in one file, v1 in two. */
static int folder_quota(const char *folder) {
    char line[LINE_BYTES], *rest;
    long long quota;
    if (read_line(folder, "cpu.max", line)) {
        quota = strtoll(line, &rest, 10); /* "max 100000": 0, which is none */
        return whole_cpus(quota, strtoll(rest, NULL, 10));
    }
    if (!read_line(folder, "cpu.cfs_quota_us", line)) return 0;
    quota = strtoll(line, NULL, 10); /* -1: none */
    if (!read_line(folder, "cpu.cfs_period_us", line)) return 0;
    return whole_cpus(quota, strtoll(line, NULL, 10));
}

/* Smallest quota of `group` ("/a/b") and those above it, below `mount`. */
static int group_quota(const char *mount, const char *group) {
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s%s", mount, group), least = 0;
    if (length < 0 || length >= (int)sizeof path) return 0;
    size_t top = strlen(mount);
    for (;;) {
        int quota = folder_quota(path);
        if (quota != 0 && (least == 0 || quota < least)) least = quota;
        char *slash = strrchr(path, '/');
        if (slash == NULL || (size_t)(slash - path) < top) return least;
        *slash = '\0';
    }
}

/* Whether the comma-separated `list` names the controller "cpu". */
static bool names_cpu(const char *list, size_t length) {
    while (length > 0) {
        size_t word = 0;
        while (word < length && list[word] != ',') word++;
        if (word == 3 && memcmp(list, "cpu", 3) == 0) return true;
        size_t step = word < length ? word + 1 : word;
        list += step;
        length -= step;
    }
    return false;
}

/* A line reads "number:controllers:group"; v2 has number 0 and no controllers. */
int cpus_quota(const char *root) {
    char path[PATH_BYTES], mount[PATH_BYTES], line[LINE_BYTES];
    int least = 0;
    if (strlen(root) > PATH_BYTES / 2) return 0;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL) continue;
        size_t length = (size_t)(group - controllers - 1);
        if (length != 0 && !names_cpu(controllers + 1, length)) continue;
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s", root, length != 0 ? "/cpu" : "");
        int quota = group_quota(mount, group + 1);
        /* Inside a container the path may be the host's, the files are those of the mount. */
        if (quota == 0) quota = folder_quota(mount);
        if (quota != 0 && (least == 0 || quota < least)) least = quota;
    }
    fclose(file);
    return least;
}

static int affinity_count(void) {
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < LARGEST_COUNT ? (int)online : 1;
}

int tn_cpu_count(void) {
    int cpus = affinity_count(), quota = cpus_quota("");
    if (quota != 0 && quota < cpus) cpus = quota;
    return cpus < 1 ? 1 : cpus;
}
