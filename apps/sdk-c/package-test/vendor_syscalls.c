/* As the files that vendors' tools generate: system calls of newlib that the SDK has as well. */
#include <stddef.h>

#include "bulkhead.h"

extern char _end[];

int _write(int file, char *text, int len)
{
    (void)file;
    uint32_t length = (uint32_t)len;
    /* A record of the log needs no end of line. */
    if (length > 0 && text[length - 1] == '\n') {
        length--;
    }
    bh_log_write(2, text, length);
    return len;
}

void *_sbrk(ptrdiff_t bytes)
{
    static char *end = _end;
    char *start = end;
    end += bytes;
    return start;
}
