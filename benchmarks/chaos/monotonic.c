/* Loaded before libfaketime, whose clock_nanosleep() shifts waits on the monotonic clock even when it is told to leave
   that clock alone (Python's time.sleep() then fails with EINVAL): waits go to the kernel as they are. */
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left)
{
    return syscall(SYS_clock_nanosleep, clock, flags, wanted, left) ? errno : 0;
}
