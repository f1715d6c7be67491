/* How many CPUs this process may use. */
#ifndef TN_RUNTIME_CPUS_H
#define TN_RUNTIME_CPUS_H

/* CPUs that the control group in <root>/proc/self/cgroup grants, rounded down but at least 1; 0:
 * no quota. `root` is "" but in tests. */
int cpus_quota(const char *root);

#endif
