/* What each system call costs: its least of many times, in counts of SysTick.
 *
 * A call that can be repeated is made a hundred times in a row. One that changes what the next would do is measured by
 * itself, as often as it succeeds; a count is 50 instructions, so it is known to 50 only. The status comes along, since a
 * refusal costs less than what was asked for. */
#include "calls.h"

#include "bh_console.h"
#include "bulkhead.h"
#include "protection.h"
#include "systick.h"

#define REPEATED 100u
#define BATCHES 16u
#define SINGLES 8u
#define TRIES 400u
#define PAUSE_COUNTS 2000u
/* Longer than a tick of the hypervisor's. */
#define SETTLED 20u
#define AREA 3u
#define LONG_LEN 960u
#define KEY "blob"
#define CPACR (*(volatile uint32_t *)0xE000ED88u)

static uint8_t buffer[LONG_LEN];
static uint32_t word, id, stream, datagram, connected, datagrams_port;
static struct bh_message message;
static uint64_t wide;
static struct bh_notification notification;

__attribute__((noinline)) static bh_status function(void)
{
    __asm volatile("");
    return BH_STATUS_OK;
}

static void pause(void)
{
    uint32_t begin = SYST_CVR;
    while (((begin - SYST_CVR) & SYST_MASK) < PAUSE_COUNTS) {
    }
}

static void settle(void)
{
    for (uint32_t i = 0; i < SETTLED; i++) {
        pause();
    }
}

/* A function that makes one call. */
#define CALL(name, ...) CALL_AS(name, name, __VA_ARGS__)
#define CALL_AS(name, call, ...) \
    static bh_status name(void) \
    { \
        return bh_##call(__VA_ARGS__); \
    }
#define CALL_FILLING(name, type, number, ...) \
    static bh_status name(void) \
    { \
        static struct type filled; \
        filled.version = number; \
        return bh_##name(__VA_ARGS__); \
    }

/* With nothing but what a call needs; the stack aligned to 8 bytes and not, as compilers leave it. */
#define NOP(name, kept) \
    __attribute__((naked)) static bh_status name(void) \
    { \
        __asm volatile("push {" kept "lr}\n ldr r3, =%c0\n mov r12, sp\n blx r3\n pop {" kept "pc}\n .pool\n" \
                       : \
                       : "i"(BH_GATEWAY(0u))); \
    }
NOP(nop, "r3, ")
NOP(nop_unaligned, "")

/* A thread without privileges, as a task of an RTOS; a supervisor call gives them back. */
void supervisor_call_handler(void)
{
    __asm volatile("mrs r0, control\n bic r0, #1\n msr control, r0\n isb" : : : "r0");
}

static bh_status unprivileged(bh_status (*call)(void))
{
    __asm volatile("mrs r0, control\n orr r0, #1\n msr control, r0\n isb" : : : "r0");
    bh_status status = call();
    __asm volatile("svc 0" : : : "memory");
    return status;
}

static bh_status function_unprivileged(void)
{
    return unprivileged(function);
}

static bh_status nop_unprivileged(void)
{
    return unprivileged(nop);
}

/* The same, by somebody who has floating-point registers in use. */
static bh_status nop_float(void)
{
    __asm volatile(".fpu fpv5-sp-d16\n vmov.f32 s0, #1.0");
    return nop();
}

static void float_begin(void)
{
    CPACR |= 0xFu << 20;
    __asm volatile("dsb\n isb");
}

static void float_end(void)
{
    __asm volatile("mrs r0, control\n bic r0, #4\n msr control, r0\n isb" : : : "r0");
}

CALL(abi_version_read, &word)
CALL(device_id_read, (char *)buffer, sizeof buffer)
CALL(clock_monotonic_read_us, &wide)
CALL(clock_wall_read_us, &wide)
CALL(wake_reason_read, &word)
CALL(boot_reason_read, &word)
CALL(network_status_read, &word)
CALL(network_reasons_read, &word)
CALL_FILLING(network_info_read, bh_network_info, BH_NETWORK_INFO_VERSION, &filled)
CALL_FILLING(limits_read, bh_limits, BH_LIMITS_VERSION, &filled)
CALL_FILLING(debug_state_read, bh_debug_state, BH_DEBUG_STATE_VERSION, &filled)
CALL_FILLING(update_status_read, bh_update_status, BH_UPDATE_STATUS_VERSION, &filled)
CALL(update_apply_now)
CALL(update_postpone, 1u)
CALL(update_confirm)
CALL(notification_enable, 0xFFFFFFFFu)
CALL(notification_next, &notification)
CALL_FILLING(storage_info_read, bh_storage_info, BH_STORAGE_INFO_VERSION, AREA, &filled)
CALL(storage_read, AREA, 0, 64u)
CALL(storage_write, AREA, 0, buffer, 64u)
CALL(storage_erase, AREA, 0)
CALL(storage_result_read, buffer, sizeof buffer)
CALL(message_finish, message.id, BH_MESSAGE_OUTCOME_ACCEPTED)
CALL_FILLING(message_queue_read, bh_message_queue, BH_MESSAGE_QUEUE_VERSION, &filled)
CALL(config_read, KEY, sizeof KEY - 1u)
CALL_FILLING(config_result_read, bh_config_value, BH_CONFIG_VALUE_VERSION, &filled, buffer, sizeof buffer)
CALL_FILLING(config_list, bh_config_entry, BH_CONFIG_ENTRY_VERSION, 0, &filled)
CALL(config_revision_read, &word)
CALL(power_sleep, 0)
CALL(power_wake_read, &word)
CALL(network_request)
CALL_FILLING(socket_status_read, bh_socket_status, BH_SOCKET_STATUS_VERSION, connected, &filled)
CALL_AS(log_write_64, log_write, 4u, (const char *)buffer, 64u)
CALL_AS(log_write_256, log_write, 4u, (const char *)buffer, 256u)
CALL_AS(message_send_64, message_send, 1u, buffer, 64u, &id)
CALL_AS(message_send_960, message_send, 1u, buffer, LONG_LEN, &id)
CALL_AS(random_read_32, random_read, buffer, 32u)
CALL_AS(random_read_256, random_read, buffer, 256u)
CALL(socket_open, BH_SOCKET_KIND_DATAGRAM, &datagram)
CALL(socket_close, datagram)
CALL(socket_bind, datagram, BH_SOCKET_LOCAL_PORT_FIRST)
CALL(socket_connect, stream, "10.0.2.2", 8u, 9u)
CALL_AS(socket_send_64, socket_send, connected, buffer, 64u, &word)
CALL_AS(socket_send_512, socket_send, connected, buffer, 512u, &word)
CALL_AS(socket_receive_64, socket_receive, connected, buffer, 64u, &word)
CALL_AS(socket_receive_512, socket_receive, connected, buffer, 512u, &word)
CALL(socket_shutdown, connected)

static bh_status message_receive(void)
{
    message.version = BH_MESSAGE_VERSION;
    return bh_message_receive(&message, buffer, sizeof buffer);
}

static bh_status socket_send_to_64(void)
{
    struct bh_socket_address to = {.address = {10, 0, 2, 2}, .port = (uint16_t)datagrams_port};
    return bh_socket_send_to(datagram, &to, buffer, 64u);
}

static bh_status socket_receive_from(void)
{
    struct bh_socket_address from;
    uint32_t length = 64u;
    return bh_socket_receive_from(datagram, &from, buffer, &length);
}

static void close_datagram(void)
{
    bh_socket_close(datagram);
    pause();
}

/* A closed socket has its place until the hypervisor has come round to it, a new one no room until then. */
static void reopen(uint32_t kind, uint32_t *handle)
{
    bh_socket_close(*handle);
    for (uint32_t i = 0; i < TRIES && bh_socket_open(kind, handle) == BH_STATUS_LIMIT_REACHED; i++) {
        pause();
    }
    settle();
}

static void open_datagram(void)
{
    reopen(BH_SOCKET_KIND_DATAGRAM, &datagram);
}

static void ask_datagram(void)
{
    socket_send_to_64();
    pause();
}

static void open_stream(void)
{
    reopen(BH_SOCKET_KIND_STREAM, &stream);
}

static void wait_while_busy(bh_status (*result_read)(void))
{
    for (uint32_t i = 0; i < TRIES && result_read() == BH_STATUS_BUSY; i++) {
        pause();
    }
}

/* Until what was begun has ended, and longer. */
static void fetch(void)
{
    wait_while_busy(storage_result_read);
    wait_while_busy(config_result_read);
    settle();
}

static void begin_config_read(void)
{
    config_read();
    settle();
}

static const struct measured {
    /* That of a function which makes no call begins so: those that follow cost what they take longer. */
    const char *name;
    bh_status (*call)(void);
    /* Before each single call; none: the call is repeated without anything in between. */
    void (*prepare)(void);
} measured[] = {
    {"function_unprivileged", function_unprivileged, 0},
    {"nop_unprivileged", nop_unprivileged, 0},
    {"function", function, 0},
    {"nop", nop, 0},
    {"nop_unaligned", nop_unaligned, 0},
    {"abi_version_read", abi_version_read, 0},
    {"device_id_read", device_id_read, 0},
    {"clock_monotonic_read_us", clock_monotonic_read_us, 0},
    {"clock_wall_read_us", clock_wall_read_us, 0},
    {"log_write_64", log_write_64, pause},
    {"log_write_256", log_write_256, pause},
    {"wake_reason_read", wake_reason_read, 0},
    {"boot_reason_read", boot_reason_read, 0},
    {"network_status_read", network_status_read, 0},
    {"network_reasons_read", network_reasons_read, 0},
    {"network_info_read", network_info_read, 0},
    {"network_request", network_request, 0},
    {"limits_read", limits_read, 0},
    {"debug_state_read", debug_state_read, 0},
    {"update_status_read", update_status_read, 0},
    {"update_apply_now", update_apply_now, 0},
    {"update_postpone", update_postpone, 0},
    {"update_confirm", update_confirm, 0},
    {"notification_enable", notification_enable, 0},
    {"notification_next", notification_next, 0},
    {"storage_info_read", storage_info_read, 0},
    {"storage_read_64", storage_read, fetch},
    {"storage_write_64", storage_write, fetch},
    {"storage_erase", storage_erase, fetch},
    {"storage_result_read", storage_result_read, 0},
    {"message_send_64", message_send_64, pause},
    {"message_send_960", message_send_960, pause},
    {"message_receive", message_receive, 0},
    {"message_finish", message_finish, pause},
    {"message_queue_read", message_queue_read, 0},
    {"config_read", config_read, fetch},
    {"config_result_read", config_result_read, begin_config_read},
    {"config_list", config_list, 0},
    {"config_revision_read", config_revision_read, 0},
    {"power_sleep", power_sleep, 0},
    {"power_wake_read", power_wake_read, 0},
    {"random_read_32", random_read_32, pause},
    {"random_read_256", random_read_256, pause},
    {"socket_open", socket_open, close_datagram},
    {"socket_bind", socket_bind, open_datagram},
    {"socket_send_to_64", socket_send_to_64, open_datagram},
    {"socket_receive_from", socket_receive_from, ask_datagram},
    {"socket_close", socket_close, open_datagram},
    {"socket_connect", socket_connect, open_stream},
    {"socket_status_read", socket_status_read, 0},
    {"socket_send_64", socket_send_64, pause},
    {"socket_send_512", socket_send_512, pause},
    {"socket_receive_64", socket_receive_64, pause},
    {"socket_receive_512", socket_receive_512, pause},
    {"socket_shutdown", socket_shutdown, 0},
    {"nop_float", nop_float, 0},
};

/* Those that are measured once more with the application's own memory protection on, which every pointer is asked about. */
static int is_asked_about(bh_status (*call)(void))
{
    static bh_status (*const asked[])(void) = {
        nop, limits_read, log_write_256, message_send_960, message_receive, random_read_256, socket_send_512,
    };
    int is = 0;
    for (uint32_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        is |= asked[i] == call;
    }
    return is;
}

struct cost {
    uint32_t counts, calls;
    bh_status status;
};

static struct cost repeated(bh_status (*call)(void))
{
    struct cost least = {.counts = SYST_MASK, .calls = REPEATED};
    for (uint32_t batch = 0; batch < BATCHES; batch++) {
        uint32_t begin = SYST_CVR;
        for (uint32_t i = 0; i < REPEATED; i++) {
            least.status = call();
        }
        uint32_t counts = (begin - SYST_CVR) & SYST_MASK;
        least.counts = counts < least.counts ? counts : least.counts;
    }
    return least;
}

/* The least of those that succeed; if none does, of all. */
static struct cost single(const struct measured *what)
{
    struct cost good = {.counts = SYST_MASK, .calls = 1}, refused = good;
    uint32_t n_good = 0;
    for (uint32_t i = 0; i < TRIES && n_good < SINGLES; i++) {
        what->prepare();
        uint32_t begin = SYST_CVR;
        bh_status status = what->call();
        uint32_t counts = (begin - SYST_CVR) & SYST_MASK;
        struct cost *cost = status == BH_STATUS_OK ? &good : &refused;
        if (counts < cost->counts) {
            *cost = (struct cost){.counts = counts, .calls = 1, .status = status};
        }
        n_good += status == BH_STATUS_OK;
    }
    return n_good > 0 ? good : refused;
}

static void measure(const struct measured *what, const char *how)
{
    struct cost cost = what->prepare ? single(what) : repeated(what->call);
    char line[96];
    char *to = bh_text_append(bh_text_append(bh_text_append(line, "call "), what->name), how);
    to = bh_text_append_number(bh_text_append(to, " counts "), cost.counts);
    to = bh_text_append_number(bh_text_append(to, " calls "), cost.calls);
    to = bh_text_append_number(bh_text_append(to, " status "), cost.status);
    *to++ = '\n';
    *to = 0;
    bh_console_write(line);
}

void calls(uint32_t to_peer, uint32_t datagrams)
{
    connected = to_peer;
    datagrams_port = datagrams;
    float_begin();
    for (uint32_t i = 0; i < sizeof measured / sizeof *measured; i++) {
        measure(&measured[i], "");
        if (is_asked_about(measured[i].call)) {
            protection_on();
            measure(&measured[i], "_protected");
            protection_off();
        }
    }
    float_end();
    bh_socket_close(connected);
    bh_socket_close(stream);
    bh_socket_close(datagram);
    bh_network_release();
    fetch();
    /* What is measured next is not to pay for these. */
    struct bh_message_queue queue = {.version = BH_MESSAGE_QUEUE_VERSION, .outgoing = 1};
    for (uint32_t i = 0; i < TRIES && queue.outgoing != 0; i++) {
        bh_message_queue_read(&queue);
        pause();
    }
    bh_console_write("calls end\n");
}
