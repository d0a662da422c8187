/* What newlib and the compiler ask of a system: memory for the heap, a place for what is printed, the time. All of it is
 * weak: what an application or a vendor's file defines itself counts instead. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#include "bh_console.h"
#include "bulkhead.h"

#define WEAK __attribute__((weak))

/* The heap grows from the end of .bss; the stack needs what is left below the top of memory. */
#define STACK_RESERVED_BYTES 16384u
/* A stack that is deeper already needs this much to go on. */
#define STACK_HEADROOM_BYTES 1024u

extern char _heap_start[], _stack_top[];

/* Where the heap ends, the main stack may not go: the limit moves with it, in the blocks that a debugger watches. */
#define WATCHED_BLOCK_BYTES 32u

WEAK void *_sbrk(ptrdiff_t bytes)
{
    static char *end = _heap_start;
    uintptr_t stack;
    __asm volatile("mrs %0, msp" : "=r"(stack));
    uintptr_t reserved = (uintptr_t)_stack_top - STACK_RESERVED_BYTES;
    uintptr_t in_use = stack - STACK_HEADROOM_BYTES;
    ptrdiff_t room = (ptrdiff_t)((in_use < reserved ? in_use : reserved) - (uintptr_t)end);
    if (bytes > room || bytes < _heap_start - end) {
        errno = ENOMEM;
        return (void *)-1;
    }
    char *start = end;
    end += bytes;
    uintptr_t limit = ((uintptr_t)end + WATCHED_BLOCK_BYTES - 1) & ~(uintptr_t)(WATCHED_BLOCK_BYTES - 1);
    __asm volatile("msr msplim, %0" : : "r"(limit));
    return start;
}

WEAK int _write(int file, const char *text, int len)
{
    (void)file;
    for (int at = 0; at < len; at++) {
        char character[2] = {text[at], 0};
        bh_console_write(character);
    }
    return len;
}

/* EAGAIN until the server told the time. */
WEAK int _gettimeofday(struct timeval *now, void *zone)
{
    (void)zone;
    uint64_t now_us = 0;
    if (bh_clock_wall_read_us(&now_us) != BH_STATUS_OK) {
        errno = EAGAIN;
        return -1;
    }
    now->tv_sec = (time_t)(now_us / 1000000u);
    now->tv_usec = (suseconds_t)(now_us % 1000000u);
    return 0;
}

/* What __libc_init_array calls, which start-up code of vendors uses; an application is linked without crti.o. */
WEAK void _init(void)
{
}

WEAK void _fini(void)
{
}

/* Names the program to those who register destructors. They never run: an application does not end. */
WEAK void *__dso_handle;

/* A virtual function that no class defined was called, from a constructor or after a destructor. */
WEAK void __cxa_pure_virtual(void)
{
    bh_log_text(0, "a pure virtual function was called");
    bh_application_restart();
    for (;;) {
    }
}

WEAK void _exit(int status)
{
    (void)status;
    bh_application_restart();
    for (;;) {
    }
}
