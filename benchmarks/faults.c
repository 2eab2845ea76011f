/* Preloaded into a process: every k-th write or sync of its engrain.db fails as a sick or full disk would, and its wall clock may be moved.
   What and how is read from a file that is mapped into memory (ENGRAIN_FAULTS), so that it changes while the process runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct control {
    int32_t every, error, writes, syncs; /* every k-th call fails with this errno; 0: none. Which calls count */
    int64_t clock_s;                     /* added to the wall clock */
    int64_t calls, failed;               /* counted here */
};

static struct control *control;

__attribute__((constructor)) static void open_control(void) {
    const char *path = getenv("ENGRAIN_FAULTS");
    int fd = path ? open(path, O_RDWR) : -1;
    if (fd < 0) return;
    void *found = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (found != MAP_FAILED) control = found;
    close(fd);
}

static int fails(int fd, int sync) {
    char link[32], path[4096];
    /* Read once: whoever holds the lever may set it to 0 meanwhile. */
    int32_t every = control ? __atomic_load_n(&control->every, __ATOMIC_RELAXED) : 0;
    if (every < 1 || !(sync ? control->syncs : control->writes)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    if (!strstr(path, "/engrain.db")) return 0;
    if (__atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST) % every) return 0;
    __atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
    errno = control->error;
    return 1;
}

#define REAL(result, name, ...) ((result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

ssize_t write(int fd, const void *data, size_t size) {
    return fails(fd, 0) ? -1 : REAL(ssize_t, "write", int, const void *, size_t)(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return fails(fd, 0) ? -1 : REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return fails(fd, 0) ? -1 : REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)(fd, data, size, at);
}
int fsync(int fd) { return fails(fd, 1) ? -1 : REAL(int, "fsync", int)(fd); }
int fdatasync(int fd) { return fails(fd, 1) ? -1 : REAL(int, "fdatasync", int)(fd); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (!result && control && clock == CLOCK_REALTIME) now->tv_sec += control->clock_s;
    return result;
}
