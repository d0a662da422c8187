/* Random calls of every gateway, from the thread and from interrupts that come at random. The table of calls arrives on
 * the console, so that it never lags behind the hypervisor's: a line `slot kinds` for each, kinds one letter for each
 * argument (p pointer, l length, n number); an empty line; a line for each address around which pointers lie; an empty
 * line; then `seed rounds`. All numbers are hexadecimal. */
#include "fuzz.h"

#include "bh_console.h"
#include "bulkhead.h"
#include "matrix_asm.h"
#include "state.h"

#define REG(address) (*(volatile uint32_t *)(address))
#define TIMER(offset) REG(BH_BOARD_TIMER0_BASE + (offset))
#define TIMER_LINE 3u
#define NVIC_ENABLE 0xE000E100u
#define NVIC_DISABLE 0xE000E180u
#define CALLS_MAX 96
#define ARGUMENTS_MAX 4
#define BUFFER_WORDS 1024

static struct {
    uint8_t slot;
    char kinds[ARGUMENTS_MAX];
} calls[CALLS_MAX];
static uint32_t n_calls;
/* Behind what is lent lies room for the longest that a call writes: what it does to itself proves nothing. */
#define ROOM_WORDS 2048
static uint32_t buffer[BUFFER_WORDS + ROOM_WORDS];
static volatile uint32_t worst, n_interrupts, rounds_done;
/* For each call a bit for each status that it answered, the last for all that are greater. */
static volatile uint32_t answered[CALLS_MAX];
/* How often each state was reached, in which calls come further. */
static uint32_t reached[STATES];
#define ROUNDS_PER_STATE 256u
#define SOCKET_OPEN_SLOT 43u
/* One socket of its own making is left open at a time, or none would be left for the states. */
static volatile uint32_t opened;

struct random {
    uint32_t state;
};
static struct random in_thread, in_interrupt;

static uint32_t next(struct random *random)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 17;
    random->state ^= random->state << 5;
    return random->state;
}

/* Where everything begins, its own and not. Not its own data and stack, which lie inside the edges of RAM. */
#define EDGES_MAX 256
static uint32_t edges[EDGES_MAX];
static uint32_t n_edges;
static const uint32_t lengths[] = {0, 1, 2, 33, 34, 35, 64, 255, 256, 257, 4095, 4096, 4097, 0x80000, 0x7FFFFFFF, 0xFFFFFFFF};
static const uint32_t numbers[] = {0, 1, 2, 3, 4, 5, 48, 80, 83, 96, 239, 240, 0x1000, 0x2000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
#define PICK(random, table) (table)[next(random) % (sizeof(table) / sizeof *(table))]

static uint32_t pointer(struct random *random)
{
    switch (next(random) % 4) {
    case 0: return next(random);
    case 1: return edges[next(random) % n_edges] + (next(random) % 64) - 32;
    default: return (uint32_t)buffer + next(random) % (BUFFER_WORDS * 4); /* Most are good: the call goes further then. */
    }
}

static uint32_t argument(struct random *random, char kind)
{
    uint32_t chance = next(random) % 8;
    if (chance == 0) {
        return next(random);
    }
    if (kind == 'p') {
        return pointer(random);
    }
    if (kind == 'l') {
        return chance < 4 ? PICK(random, lengths) : next(random) % 300;
    }
    if (chance == 1) {
        return state_socket(DATAGRAM_OPEN + next(random) % (STATES - DATAGRAM_OPEN));
    }
    return chance < 6 ? PICK(random, numbers) : next(random) % 16;
}

static void call_one(struct random *random)
{
    uint32_t chosen = next(random) % n_calls;
    uint32_t arguments[ARGUMENTS_MAX];
    for (uint32_t i = 0; i < ARGUMENTS_MAX; i++) {
        arguments[i] = argument(random, calls[chosen].kinds[i]);
    }
    uint32_t status = 0;
    worst |= matrix_call(calls[chosen].slot, arguments, &status);
    answered[chosen] |= 1u << (status < 31 ? status : 31);
    if (calls[chosen].slot == SOCKET_OPEN_SLOT && status == BH_STATUS_OK) {
        bh_socket_close(opened);
        opened = *(const uint32_t *)arguments[1];
    }
}

/* Interrupts at random leave the hypervisor its least share of the time, in which a connection takes seconds: they wait
 * until the state is reached. */
static void set_up_a_state(void)
{
    uint32_t state = next(&in_thread) % STATES;
    REG(NVIC_DISABLE) = 1u << TIMER_LINE;
    reached[state] += (uint32_t)state_set_up(state);
    REG(NVIC_ENABLE) = 1u << TIMER_LINE;
}

static void interrupted(void)
{
    n_interrupts++;
    TIMER(0x8) = 200 + next(&in_interrupt) % 8000;
    matrix_without_float = 1;
    call_one(&in_interrupt);
    matrix_without_float = 0;
    buffer[next(&in_interrupt) % BUFFER_WORDS] = next(&in_interrupt); /* Changes what a call may be reading. */
}

static int word(uint32_t *value, char *letters)
{
    uint32_t n = 0;
    *value = 0;
    for (;;) {
        int c = bh_console_read();
        if (c < 0) {
            continue;
        }
        if (c == ' ' || c == '\n') {
            return c == '\n' ? -(int)n - 1 : (int)n;
        }
        if (letters && n < ARGUMENTS_MAX) {
            letters[n] = (char)c;
        }
        *value = *value * 16 + (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        n++;
    }
}

static void tell(const char *what, uint32_t value)
{
    bh_console_write(what);
    bh_console_write_hex(value);
}

void fuzz(void)
{
    uint32_t value, seed, rounds;
    n_calls = n_edges = 0;
    for (;;) {
        int n = word(&value, 0);
        if (n == -1) {
            break;
        }
        uint32_t ignored;
        calls[n_calls].slot = (uint8_t)value;
        for (uint32_t i = 0; i < ARGUMENTS_MAX; i++) {
            calls[n_calls].kinds[i] = 'n';
        }
        if (n >= 0) {
            word(&ignored, calls[n_calls].kinds);
        }
        n_calls += n_calls < CALLS_MAX - 1;
    }
    while (word(&value, 0) != -1) {
        edges[n_edges] = value;
        n_edges += n_edges < EDGES_MAX - 1;
    }
    word(&seed, 0);
    word(&rounds, 0);
    in_thread.state = seed | 1;
    in_interrupt.state = (seed ^ 0x9E3779B9u) | 1;
    worst = n_interrupts = 0;
    REG(0xE000ED88u) |= 0xFu << 20; /* Floating point on, see matrix_call. */
    __asm volatile("dsb\n isb");
    for (uint32_t i = 0; i < n_calls; i++) {
        answered[i] = 0;
    }
    matrix_timer_action = interrupted;
    TIMER(0x8) = TIMER(0x4) = 5000;
    TIMER(0x0) = 9;
    REG(NVIC_ENABLE) = 1u << TIMER_LINE;
    for (uint32_t i = 0; i < rounds; i++) {
        if (i % ROUNDS_PER_STATE == 0) {
            set_up_a_state();
        }
        call_one(&in_thread);
    }
    REG(NVIC_DISABLE) = 1u << TIMER_LINE;
    TIMER(0x0) = 0;
    matrix_timer_action = 0;
    bh_notification_enable(0xFFFFFFFFu);
    tell("fuzz done, wrong ", worst);
    tell(", interrupts ", n_interrupts);
    bh_console_write(", states");
    for (uint32_t i = 0; i < STATES; i++) {
        tell(" ", reached[i]);
        reached[i] = 0;
    }
    bh_console_write(", answered");
    for (uint32_t i = 0; i < n_calls; i++) {
        tell(" ", answered[i]);
    }
    bh_console_write("\n");
}
