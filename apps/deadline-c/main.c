/* Measures what the hypervisor costs an application: how late its interrupts come, how much of the processor is left to
 * it, what a system call costs. Run by `cargo xtask bench isolation`, where QEMU counts one nanosecond for each
 * instruction; the timers count 50 of them.
 *
 * Each character received on the console starts one measurement, which ends in lines on the console. */
#include "bh_console.h"
#include "bh_socket.h"
#include "calls.h"
#include "protection.h"
#include "systick.h"

#ifndef APP_VERSION
#define APP_VERSION 1
#endif

struct timer {
    volatile uint32_t control;
    volatile uint32_t value;
    volatile uint32_t reload;
    volatile uint32_t interrupt;
};

#define TIMER ((struct timer *)BH_BOARD_TIMER0_BASE)
#define TIMER_ON_WITH_INTERRUPT 9u
#define NVIC_ISER(n) (*(volatile uint32_t *)(0xE000E100u + (n) / 32u * 4u))
#define BIT(n) (1u << ((n) % 32u))
/* Kept over a restart of the application: neither cleared nor loaded. */
#define SPINS (*(volatile uint32_t *)(BH_BOARD_RAM_BASE + 0x40000u))
#define SPINS_MAGIC 0x5B1A5B1Au

/* Half a second of the clock of 20 MHz. */
#define WINDOW 10000000u
#define LATE_MAX 4096u

/* Something to update: other words in each version. */
#define W1(n) ((n)*2654435761u ^ (n) * (n)*APP_VERSION * 0x9E3779B9u)
#define W8(n) W1(n), W1(n + 1u), W1(n + 2u), W1(n + 3u), W1(n + 4u), W1(n + 5u), W1(n + 6u), W1(n + 7u)
#define W64(n) W8(n), W8(n + 8u), W8(n + 16u), W8(n + 24u), W8(n + 32u), W8(n + 40u), W8(n + 48u), W8(n + 56u)
#define W512(n) \
    W64(n), W64(n + 64u), W64(n + 128u), W64(n + 192u), W64(n + 256u), W64(n + 320u), W64(n + 384u), W64(n + 448u)
#define W4096(n) \
    W512(n), W512(n + 512u), W512(n + 1024u), W512(n + 1536u), W512(n + 2048u), W512(n + 2560u), W512(n + 3072u), \
        W512(n + 3584u)
static const uint32_t words[] = {W4096(0u), W4096(4096u), W4096(8192u), W4096(12288u)};

static uint32_t random_state = 0x2545F491u;
static uint32_t period_least, period_spread;
static volatile uint32_t period, n_late, worst;
static volatile uint32_t late_counts[LATE_MAX];
volatile uint32_t never = 1;
static volatile uint32_t sink;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

/* The timer stands at zero for one count, then runs down from its reload value: what it says now is how late this is. */
void timer0_handler(void)
{
    uint32_t value = TIMER->value;
    uint32_t late = value == 0 ? 0 : period + 1u - value;
    TIMER->interrupt = 1;
    period = period_least + next_random() % period_spread;
    TIMER->reload = period;
    n_late++;
    if (late > worst) {
        worst = late;
    }
    late_counts[late < LATE_MAX ? late : LATE_MAX - 1]++;
}

/* Between measurements it sleeps, and looks at its console a hundred times a second. */
#define SLEEP 200000u

static void timer_start(uint32_t least)
{
    TIMER->control = 0;

    for (uint32_t i = 0; i < LATE_MAX; i++) {
        late_counts[i] = 0;
    }
    n_late = worst = 0;
    period_least = least;
    period_spread = least;
    period = least;
    TIMER->value = least;
    TIMER->reload = least;
    NVIC_ISER(BH_BOARD_TIMER0_INTERRUPT_0) = BIT(BH_BOARD_TIMER0_INTERRUPT_0);
    TIMER->control = TIMER_ON_WITH_INTERRUPT;
}

/* What benchmarks of small processors do: multiply matrices, walk a list, run a state machine, sum it up. Not inlined: it is
 * the same code then whatever stands around it. */
__attribute__((noinline)) static uint32_t work(void)
{
    static int16_t a[16][16], b[16][16];
    static struct node {
        struct node *next;
        uint32_t value;
    } nodes[64];
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 16; i++) {
        for (uint32_t j = 0; j < 16; j++) {
            int32_t cell = 0;
            for (uint32_t k = 0; k < 16; k++) {
                cell += a[i][k] * b[k][j];
            }
            a[i][j] = (int16_t)(cell + (int32_t)(i ^ j));
            b[j][i] = (int16_t)(cell >> 3);
            sum += (uint32_t)cell;
        }
    }
    for (uint32_t i = 0; i < 64; i++) {
        nodes[i].next = &nodes[(i * 37u + 11u) % 64u];
        nodes[i].value = sum + i;
    }
    struct node *at = nodes;
    for (uint32_t i = 0; i < 256; i++) {
        sum ^= at->value;
        at = at->next;
    }
    uint32_t crc = sum, state = 0;
    for (uint32_t i = 0; i < 512; i++) {
        uint32_t byte = words[i] & 0xFFu;
        state = byte < 64u ? 0u : byte < 128u ? state + 1u : byte < 192u ? state ^ 3u : 2u;
        crc ^= byte + state;
        for (uint32_t bit = 0; bit < 8; bit++) {
            crc = crc & 1u ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
        }
    }
    return crc;
}

/* What an application asks of the hypervisor all day, as often as it is let. */
#define STORAGE_AREA 3u
static uint8_t piece[512];
static uint32_t stream;
static uint32_t n_echoed, n_messages, n_stored, n_read;

static void echo(void)
{
    uint32_t count = 0;
    bh_socket_send(stream, piece, sizeof piece, &count);
    if (bh_socket_receive(stream, piece, sizeof piece, &count) == BH_STATUS_OK) {
        n_echoed += count;
    }
}

static void use_services(void)
{
    static uint32_t offset;
    if (bh_message_send(1u, piece, sizeof piece, 0) == BH_STATUS_OK) {
        n_messages++;
    }
    static uint8_t value[512];
    static struct bh_config_value about;
    about.version = BH_CONFIG_VALUE_VERSION;
    bh_status status = bh_config_result_read(&about, value, sizeof value);
    if (status == BH_STATUS_NOTHING_PENDING) {
        bh_config_read("blob", 4u);
    }
    n_read += status == BH_STATUS_OK && about.length_bytes == sizeof value;
    status = bh_storage_result_read(0, 0);
    if (status == BH_STATUS_BUSY) {
        return;
    }
    n_stored += status == BH_STATUS_OK;
    offset = (offset + 256u) % 4096u;
    if (offset == 0) {
        bh_storage_erase(STORAGE_AREA, 0);
    } else {
        bh_storage_write(STORAGE_AREA, offset, piece, 256u);
    }
}

/* A place for a breakpoint whose condition never holds. */
__attribute__((noinline)) void deadline_probe(uint32_t value)
{
    __asm volatile("" : : "r"(value));
}

static uint32_t stage(void)
{
    struct bh_update_status status = {.version = BH_UPDATE_STATUS_VERSION};
    return bh_update_status_read(&status) == BH_STATUS_OK ? status.stage : 99u;
}

static char *number(char *to, const char *name, uint32_t value)
{
    to = bh_text_append(to, name);
    return bh_text_append_number(to, value);
}

static uint32_t at_most(uint32_t parts_per_thousand)
{
    uint32_t above = n_late - n_late * parts_per_thousand / 1000u;
    uint32_t seen = 0;
    for (uint32_t i = LATE_MAX; i-- > 0;) {
        seen += late_counts[i];
        if (seen > above) {
            return i;
        }
    }
    return 0;
}

static uint32_t least_late(void)
{
    uint32_t i = 0;
    while (i < LATE_MAX - 1 && late_counts[i] == 0) {
        i++;
    }
    return i;
}

/* Returns the stage of the update at its end. */
static uint32_t measure(int mode)
{
    static const char text[100] = {'f', 'l', 'o', 'o', 'd'};
    uint32_t stage_before = stage();
    uint32_t total = 0, best = SYST_MASK, chunks = 0;
    n_echoed = n_messages = n_stored = n_read = 0;
    if (mode == 'm') {
        protection_on();
    }
    timer_start(2000u);
    while (total < WINDOW) {
        uint32_t before = SYST_CVR;
        sink = work();
        if (mode == 'd' && chunks % 8u == 0) {
            deadline_probe(chunks);
        }
        uint32_t took = (before - SYST_CVR) & SYST_MASK;
        total += took;
        chunks++;
        if (took < best) {
            best = took;
        }
        for (uint32_t i = 0; mode == 'l' && i < 50u; i++) {
            bh_log_write(2, text, sizeof text);
        }
        if (mode == 't') {
            echo();
        } else if (mode == 'a' || mode == 'm') {
            use_services();
        }
    }
    TIMER->control = 0;
    protection_off();
    char line[200];
    char name[2] = {(char)mode, 0};
    char *to = bh_text_append(bh_text_append(line, "measured "), name);
    to = number(to, " n ", n_late);
    to = number(to, " least ", least_late());
    to = number(to, " p999 ", at_most(999u));
    to = number(to, " worst ", worst);
    to = number(to, " chunks ", chunks);
    to = number(to, " best ", best);
    to = number(to, " total ", total);
    to = number(to, " before ", stage_before);
    uint32_t stage_after = stage();
    to = number(to, " after ", stage_after);
    to = number(to, " echoed ", n_echoed);
    to = number(to, " messages ", n_messages);
    to = number(to, " stored ", n_stored);
    to = number(to, " read ", n_read);
    *to++ = '\n';
    *to = 0;
    bh_console_write(line);
    timer_start(SLEEP);
    return stage_after;
}

/* The port of a peer on the network's host, in digits, then the end of a line. */
static uint32_t peer_port(void)
{
    uint32_t port = 0;
    for (int digit = 0; digit != '\n'; digit = bh_console_read()) {
        port = digit >= '0' && digit <= '9' ? port * 10u + (uint32_t)(digit - '0') : port;
    }
    return port;
}

static void connect(void)
{
    uint32_t port = peer_port(), reason = 0;
    bh_status status = bh_socket_dial(&stream, "10.0.2.2", port, 20000u, 0, &reason);
    bh_console_write(status == BH_STATUS_OK ? "connected\n" : "not connected\n");
}

/* Has the hypervisor write to its flash, and calls without pause until that is done: hardly ever is it found outside of a
 * call. */
#define WRITES 60u
static void call_without_pause(void)
{
    uint64_t begin = 0, end = 0;
    bh_clock_monotonic_read_us(&begin);
    for (uint32_t i = 0; i < WRITES; i++) {
        bh_storage_write(STORAGE_AREA, 256u * (i % 16u), piece, 256u);
        while (bh_storage_result_read(0, 0) == BH_STATUS_BUSY) {
        }
    }
    bh_clock_monotonic_read_us(&end);
    char line[60];
    char *to = number(line, "written amid calls us ", (uint32_t)(end - begin));
    *to++ = '\n';
    *to = 0;
    bh_console_write(line);
}

static void spin(void)
{
    SPINS = SPINS_MAGIC;
    bh_console_write("spins\n");
    __asm volatile("cpsid i");
    for (;;) {
    }
}

int main(void)
{
    bh_console_start();
    SYST_RVR = SYST_MASK;
    SYST_CVR = 0;
    SYST_CSR = 5;
    if (SPINS == SPINS_MAGIC) {
        spin();
    }
    bh_update_confirm();
    bh_console_write("deadline ready\n");
    timer_start(SLEEP);
    for (;;) {
        int mode = bh_console_read();
        if (mode == 'c') {
            calls(stream, peer_port());
        } else if (mode == 'g') {
            call_without_pause();
        } else if (mode == 's') {
            spin();
        } else if (mode == 'p') {
            connect();
        } else if (mode == 'u') {
            /* Until the update is ready: from then on this application may be replaced at any time. */
            while (measure(mode) != BH_UPDATE_STAGE_READY) {
            }
        } else if (mode > ' ') {
            measure(mode);
        } else {
            __asm volatile("wfi");
            if (stage() == BH_UPDATE_STAGE_READY) {
                bh_update_apply_now();
            }
        }
    }
}
