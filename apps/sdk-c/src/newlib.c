/* What newlib asks of a system: memory for its heap, and a place for what is printed. Linked only if it is used. */
#include <errno.h>
#include <stddef.h>

#include "bh_console.h"
#include "bulkhead.h"

/* The heap grows from the end of .bss; the stack needs what is left below the top of memory. */
#define STACK_RESERVED_BYTES 16384u

extern char _heap_start[], _stack_top[];

void *_sbrk(ptrdiff_t bytes)
{
    static char *end = _heap_start;
    if (bytes > _stack_top - end - (ptrdiff_t)STACK_RESERVED_BYTES) {
        errno = ENOMEM;
        return (void *)-1;
    }
    char *start = end;
    end += bytes;
    return start;
}

int _write(int file, const char *text, int len)
{
    (void)file;
    for (int at = 0; at < len; at++) {
        char character[2] = {text[at], 0};
        bh_console_write(character);
    }
    return len;
}

/* A virtual function that no class defined was called, from a constructor or after a destructor. */
void __cxa_pure_virtual(void)
{
    bh_log_text(0, "a pure virtual function was called");
    bh_application_restart();
    for (;;) {
    }
}

void _exit(int status)
{
    (void)status;
    bh_application_restart();
    for (;;) {
    }
}
