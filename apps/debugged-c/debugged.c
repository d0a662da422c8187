/* What debuggers are tried on: values that change in memory, on the stack and in the registers for floating point. */
#include "bh_console.h"
#include "bulkhead.h"

#define CPACR (*(volatile uint32_t *)0xE000ED88)

/* Neighbours within 32 bytes: the device cannot guard one without the others. */
static struct {
    volatile uint32_t before;
    volatile uint32_t watched;
    volatile uint32_t behind;
} values __attribute__((aligned(32)));

static volatile uint32_t turns;

static volatile double halved;

__attribute__((noipa)) double half(double of)
{
    return of / 2;
}

__attribute__((noipa)) void turn(uint32_t number)
{
    values.before = number;
    if (number % 8 == 0) {
        values.watched = number;
    }
    values.behind = values.before + 1;
}

__attribute__((noipa)) uint32_t on_stack(uint32_t number)
{
    volatile uint32_t local = 7;
    local = local + number;
    return local;
}

static volatile uint32_t unmasked;

/* Sleeps as tickless kernels do: masked, so that what wakes it is served later. Counts how often it was not masked then. */
__attribute__((noipa)) void nap(void)
{
    uint32_t mask;
    __asm volatile("cpsid i\n"
                   "wfi\n"
                   "nap_is_over: nop\n"
                   "nop\n"
                   "mrs %0, primask\n"
                   "cpsie i\n"
                   : "=r"(mask));
    unmasked += mask == 0;
}

/* s0 = 1.5, d1 = 2.5, s31 = -8: this program never touches them again. */
static void fill_float(void)
{
    CPACR |= 0xFu << 20;
    __asm volatile(".fpu fpv5-sp-d16\n"
                   "dsb\n"
                   "isb\n"
                   "vmov.f32 s0, #1.5\n"
                   "movs r0, #0\n"
                   "movw r1, #0x0000\n"
                   "movt r1, #0x4004\n"
                   "vmov s2, r0\n"
                   "vmov s3, r1\n"
                   "vmov.f32 s31, #-8.0\n" ::
                       : "r0", "r1");
}

int main(void)
{
    bh_console_start();
    fill_float();
    bh_log_text(2, "debugged starts");
    for (;;) {
        turns++;
        turn(turns);
        halved = half((double)turns);
        on_stack(turns);
        if (turns % 16 == 0) {
            nap();
        }
        for (volatile uint32_t wait = 0; wait < 2000; wait++) {
        }
    }
}
