/* What the step oracle steps through: functions that a compiler made, and room for programs that a generator makes.
 *
 * Every workload is a function of one number, reads no clock and leaves its result in r0, so that two processors which
 * execute it go through the same instructions. The oracle starts one by setting registers; it returns to workload_end. */
#include <setjmp.h>
#include <stdatomic.h>
#include <string.h>

#include "bh_console.h"
#include "bulkhead.h"

#define VECTORS 112
#define VTOR (*(volatile uint32_t *)0xE000ED08)
#define SYSTICK_CONTROL (*(volatile uint32_t *)0xE000E010)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xE000E014)
#define CPACR (*(volatile uint32_t *)0xE000ED88)
#define WORKLOAD __attribute__((used, noinline))

/* The vector table in use: the oracle puts the supervisor call of a generated program into it. */
__attribute__((aligned(512), used)) uint32_t ram_vectors[VECTORS];

/* Called by the tick as well as by whoever is stepped: code that two contexts run at once. Touches r0 to r3 alone. */
__attribute__((naked, used)) void shared_function(void)
{
    __asm volatile("movs r1, #3\n"
                   "eors r1, r0\n"
                   "it mi\n"
                   "addmi r1, r0\n"
                   "cbz r1, 1f\n"
                   "subs r0, r1\n"
                   "1: bx lr\n");
}

static volatile uint32_t ticks;

void systick_handler(void)
{
    ticks++;
    shared_function();
}

/* Compiled to a table of bytes, and with the larger cases to one of half-words. */
WORKLOAD uint32_t workload_switch(uint32_t seed)
{
    uint32_t sum = seed;
    for (uint32_t i = 0; i < 12; i++) {
        switch ((seed + i) % 11) {
        case 0: sum += 17; break;
        case 1: sum ^= sum << 3; break;
        case 2: sum = sum * 5 + 1; break;
        case 3: sum -= i; /* fall through */
        case 4: sum = (sum >> 7) | (sum << 25); break;
        case 5: sum |= 0x40; break;
        case 6: sum &= ~0x11u; break;
        case 7: sum += seed / (i + 1); break;
        case 8: sum = sum > 1000 ? sum - 1000 : sum + 3; break;
        case 9: sum = (uint32_t)((int32_t)sum >> 2); break;
        default: sum++; break;
        }
    }
    return sum;
}

static WORKLOAD uint32_t fibonacci(uint32_t n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

WORKLOAD uint32_t workload_recursion(uint32_t seed)
{
    return fibonacci(seed % 4 + 3);
}

WORKLOAD uint32_t workload_sort(uint32_t seed)
{
    uint16_t values[9];
    for (uint32_t i = 0; i < 9; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (uint16_t)(seed >> 16);
    }
    for (uint32_t i = 1; i < 9; i++) {
        uint16_t value = values[i];
        uint32_t at = i;
        for (; at > 0 && values[at - 1] > value; at--) {
            values[at] = values[at - 1];
        }
        values[at] = value;
    }
    return values[0] | (uint32_t)values[8] << 16;
}

static jmp_buf escape;
static volatile uint32_t leaps = 1;

static WORKLOAD void leap(uint32_t depth)
{
    if (depth > 0) {
        leap(depth - 1);
    } else if (leaps) {
        longjmp(escape, 5);
    }
}

WORKLOAD uint32_t workload_leap(uint32_t seed)
{
    int came = setjmp(escape);
    if (came == 0) {
        leap(seed % 5);
    }
    return (uint32_t)came + seed;
}

WORKLOAD uint32_t workload_text(uint32_t seed)
{
    char text[40];
    memset(text, (int)('a' + seed % 20), sizeof text);
    text[seed % 30 + 5] = 0;
    /* What lies below the stack pointer is anybody's: read a word at a time, none of it may be left in the array. */
    char other[40];
    memset(other, 0, sizeof other);
    strcpy(other, text);
    return (uint32_t)strlen(other) + (uint32_t)memcmp(other, text, 5) + (strchr(other, 'q') != 0);
}

WORKLOAD uint32_t workload_wide_arithmetic(uint32_t seed)
{
    uint64_t wide = (uint64_t)seed << 21 | seed;
    int64_t quotient = (int64_t)wide / (int64_t)(seed % 1000 + 3);
    return (uint32_t)(wide % 77777u) ^ (uint32_t)quotient;
}

static WORKLOAD uint32_t twice(uint32_t value) { return value * 2; }
static WORKLOAD uint32_t plus(uint32_t value) { return value + 7; }
static WORKLOAD uint32_t mixed(uint32_t value) { return value ^ value >> 5; }
static uint32_t (*const functions[])(uint32_t) = {twice, plus, mixed};

WORKLOAD uint32_t workload_pointers(uint32_t seed)
{
    for (uint32_t i = 0; i < 9; i++) {
        seed = functions[(seed + i) % 3](seed);
    }
    return seed;
}

static atomic_uint shared_word;
static _Atomic uint8_t shared_byte;

WORKLOAD uint32_t workload_atomics(uint32_t seed)
{
    atomic_store(&shared_word, seed);
    atomic_store(&shared_byte, 1);
    uint32_t old = atomic_fetch_add(&shared_word, 3);
    uint32_t expected = seed + 3;
    old += atomic_compare_exchange_strong(&shared_word, &expected, 99u);
    old += atomic_compare_exchange_strong(&shared_word, &expected, 98u);
    return old + atomic_exchange(&shared_byte, (uint8_t)seed) + atomic_load(&shared_word);
}

/* Into the hypervisor and back: one instruction for who steps. */
WORKLOAD uint32_t workload_gateways(uint32_t seed)
{
    uint32_t version = seed;
    uint32_t sum = bh_nop() + bh_abi_version_read(&version);
    sum += bh_log_write(9, (const char *)0x38000000, 4);
    sum += bh_abi_version_read((uint32_t *)(seed | 1));
    return sum + version;
}

WORKLOAD float workload_floats(uint32_t seed)
{
    float value = (float)(seed % 1000) / 7.0f;
    for (uint32_t i = 0; i < 4; i++) {
        value = value * 0.5f + (value > 20.0f ? -3.25f : 1.5f);
    }
    return value;
}

/* Where workloads return to. */
__attribute__((naked, used)) void workload_end(void)
{
    __asm volatile("nop\n"
                   "b workload_end\n");
}

/* Where the oracle takes over. */
WORKLOAD void stand(void)
{
    __asm volatile("nop");
}

static uint32_t (*const workloads[])(uint32_t) = {
    workload_switch, workload_recursion, workload_sort,    workload_leap,     workload_text,
    workload_wide_arithmetic, workload_pointers, workload_atomics, workload_gateways,
};

/* Never: but what nobody could call, the linker would leave out. */
static void call_all(void)
{
    for (uint32_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
        workloads[i](i);
    }
    workload_floats(0);
    workload_end();
}

int main(void)
{
    if (ticks == 0xFFFFFFFFu) {
        call_all();
    }
    memcpy(ram_vectors, (const void *)(uintptr_t)VTOR, sizeof ram_vectors);
    VTOR = (uint32_t)(uintptr_t)ram_vectors;
    CPACR |= 0xFu << 20;
    /* Generated programs switch the tick on and off. */
    SYSTICK_RELOAD = BH_BOARD_CLOCK_HZ / 5000u - 1;
    SYSTICK_CONTROL = 6;
    bh_log_text(2, "the stepper stands");
    for (;;) {
        stand();
        __asm volatile("wfi");
    }
}
