/* What a test program of GDB's needs to start on a bare Cortex-M33: vectors, .data, .bss, and newlib's heap and output.
 * What newlib asks of files is answered by apps/sdk-c/src/newlib_files.c. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

extern uint32_t _stack_top, _data_load, _data_start, _data_end, _bss_start, _bss_end;
extern void (*const _constructors_start[])(void), (*const _constructors_end[])(void);
extern char _heap_start[];
int main(int argc, char **argv, char **environment);
void reset_handler(void);

/* The stack needs what is left above the heap. */
#define STACK_RESERVED_BYTES 65536

static void stays_here(void)
{
    for (;;) {
    }
}

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const handler vectors[16 + 96] = {
    [0] = (handler)&_stack_top,
    [1] = reset_handler,
    [2] = stays_here,
    [3] = stays_here,
    [4] = stays_here,
    [5] = stays_here,
    [6] = stays_here,
    [11] = stays_here,
    [12] = stays_here,
    [14] = stays_here,
    [15] = stays_here,
};

void reset_handler(void)
{
    static char *arguments[] = {"program", NULL};
    uint32_t *from = &_data_load;
    for (uint32_t *to = &_data_start; to < &_data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &_bss_start; to < &_bss_end;) {
        *to++ = 0;
    }
    for (void (*const *constructor)(void) = _constructors_start; constructor < _constructors_end; constructor++) {
        (*constructor)();
    }
    exit(main(1, arguments, arguments + 1));
}

/* newlib calls it at the end of a program, whose destructors are of no interest here. */
void _fini(void)
{
}

void *_sbrk(ptrdiff_t bytes)
{
    static char *end = _heap_start;
    if (bytes > (char *)&_stack_top - end - STACK_RESERVED_BYTES) {
        errno = ENOMEM;
        return (void *)-1;
    }
    char *start = end;
    end += bytes;
    return start;
}

/* What is printed goes nowhere: the testsuite is told that programs have no output. */
int _write(int file, const char *text, int len)
{
    (void)file;
    (void)text;
    return len;
}

void _exit(int status)
{
    (void)status;
    stays_here();
    __builtin_unreachable();
}
