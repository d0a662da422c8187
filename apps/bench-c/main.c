/* Measures what a system call costs, by the hypervisor's own clock. Run with `cargo xtask bench device`, where QEMU
 * counts one nanosecond for each instruction, so that microseconds are thousands of instructions. */
#include "bh_console.h"
#include "bulkhead.h"

#define CALLS 100000u

static uint32_t now_us(void)
{
    uint64_t now = 0;
    bh_clock_monotonic_read_us(&now);
    return (uint32_t)now;
}

/* Not inlined, so that the loop around the call is the same in both measurements. */
__attribute__((noinline)) static bh_status nothing(void)
{
    __asm volatile("");
    return 0;
}

int main(void)
{
    bh_console_start();
    uint32_t start = now_us();
    for (uint32_t i = 0; i < CALLS; i++) {
        nothing();
    }
    uint32_t middle = now_us();
    for (uint32_t i = 0; i < CALLS; i++) {
        bh_nop();
    }
    uint32_t end = now_us();
    char line[BH_LOG_TEXT_LEN_MAX];
    char *to = bh_text_append(line, "bench calls ");
    to = bh_text_append_number(to, CALLS);
    to = bh_text_append(to, " function_us ");
    to = bh_text_append_number(to, middle - start);
    to = bh_text_append(to, " system_call_us ");
    to = bh_text_append_number(to, end - middle);
    *to = 0;
    bh_log_text(2, line);
    bh_console_write(line);
    bh_console_write("\n");
    for (;;) {
        __asm volatile("wfi");
    }
}
