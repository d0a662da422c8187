/* What newlib asks of a system about files and processes, of which there are none but the console. Needs no hypervisor.
 * Weak, as in newlib.c. */
#include <errno.h>
#include <sys/stat.h>

#define WEAK __attribute__((weak))

WEAK int _read(int file, char *buffer, int len)
{
    (void)file;
    (void)buffer;
    (void)len;
    return 0;
}

WEAK int _close(int file)
{
    (void)file;
    return -1;
}

WEAK int _lseek(int file, int offset, int from)
{
    (void)file;
    (void)offset;
    (void)from;
    return 0;
}

WEAK int _fstat(int file, struct stat *status)
{
    (void)file;
    status->st_mode = S_IFCHR;
    return 0;
}

WEAK int _isatty(int file)
{
    (void)file;
    return 1;
}

WEAK int _getpid(void)
{
    return 1;
}

WEAK int _kill(int process, int signal)
{
    (void)process;
    (void)signal;
    errno = EINVAL;
    return -1;
}
