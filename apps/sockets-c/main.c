/* Sockets from bare metal, led by lines that are typed into its console:
 *
 *   tcp HOST PORT BYTES   connects, sends so many bytes, receives them back and compares
 *   udp HOST PORT BYTES   the same with one datagram
 *   many HOST PORT BYTES  the same over as many streams as there are, at once
 *   drop HOST PORT 0      connects, and lets the application restart with the stream open
 *   flood HOST PORT MS    sends datagrams and opens streams as fast as it can, from thread and interrupt handler
 *   wrong HOST PORT 0     every call with wrong handles, pointers, lengths and addresses
 *
 * Each is answered on the console by a line that begins with its name and ends with `ok` or what went wrong. */
#include "bh_console.h"
#include "bh_socket.h"

#define WAIT_MS 25000u
#define LINE BH_BOARD_SOFTWARE_INTERRUPT_0
#define NVIC_ISER(n) (*(volatile uint32_t *)(0xE000E100u + (n) / 32u * 4u))
#define NVIC_ISPR(n) (*(volatile uint32_t *)(0xE000E200u + (n) / 32u * 4u))
#define BIT(n) (1u << ((n) % 32u))
#define SECURE_MEMORY 0x38000000u

static char buffer[2048];
static uint32_t flood_socket;
static volatile uint32_t flood_sent;
static volatile uint32_t news;

static uint32_t now_ms(void)
{
    uint64_t now_us = 0;
    bh_clock_monotonic_read_us(&now_us);
    return (uint32_t)(now_us / 1000u);
}

static void say(const char *what, const char *outcome, uint32_t number)
{
    char line[96];
    char *end = bh_text_append(line, what);
    end = bh_text_append(end, " ");
    end = bh_text_append(end, outcome);
    end = bh_text_append(end, " ");
    end = bh_text_append_number(end, number);
    *bh_text_append(end, "\n") = 0;
    bh_console_write(line);
}

static char byte_at(uint32_t seed, uint32_t at)
{
    return (char)((seed + at) * 2654435761u >> 24);
}

/* Sends `total` bytes and takes the echo, in pieces, so that both directions flow at the same time. */
static void stream_echo(const char *what, uint32_t socket, uint32_t total)
{
    uint32_t until = now_ms() + WAIT_MS, sent = 0, received = 0, count = 0;
    while (received < total) {
        uint32_t piece = total - sent < 512u ? total - sent : 512u;
        for (uint32_t i = 0; i < piece; i++) {
            buffer[i] = byte_at(total, sent + i);
        }
        if (piece && bh_socket_send(socket, buffer, piece, &count) == BH_STATUS_OK) {
            sent += count;
        }
        bh_status status = bh_socket_receive(socket, buffer, sizeof buffer, &count);
        if (status == BH_STATUS_OK) {
            for (uint32_t i = 0; i < count; i++, received++) {
                if (buffer[i] != byte_at(total, received)) {
                    say(what, "differs at", received);
                    return;
                }
            }
        } else if (status != BH_STATUS_NOTHING_PENDING) {
            say(what, "failed with", status);
            return;
        }
        if ((int32_t)(now_ms() - until) > 0) {
            say(what, "took too long after", received);
            return;
        }
    }
    say(what, "ok", received);
}

static void tcp(const char *host, uint32_t port, uint32_t total)
{
    uint32_t socket, reason = 0, count;
    bh_status status = bh_socket_dial(&socket, host, port, WAIT_MS, 0, &reason);
    if (status != BH_STATUS_OK) {
        say("tcp", status == BH_STATUS_NOT_CONNECTED ? "closed for" : "failed with",
            status == BH_STATUS_NOT_CONNECTED ? reason : status);
        return;
    }
    stream_echo("tcp", socket, total);
    /* The end of our half is answered by the end of the other. */
    bh_socket_shutdown(socket);
    status = bh_socket_receive_some(socket, buffer, sizeof buffer, &count, WAIT_MS, 0);
    say("end", status == BH_STATUS_NOT_CONNECTED ? "ok" : "failed with", status);
    bh_socket_close(socket);
}

static void udp(const char *host, uint32_t port, uint32_t total)
{
    uint32_t socket, reason = 0, length = 0, count = 0;
    while (host[length]) {
        length++;
    }
    bh_status status = bh_socket_open(BH_SOCKET_KIND_DATAGRAM, &socket);
    if (status == BH_STATUS_OK) {
        status = bh_socket_connect(socket, host, length, port);
    }
    if (status == BH_STATUS_OK) {
        status = bh_socket_wait_connected(socket, WAIT_MS, 0, &reason);
    }
    for (uint32_t i = 0; i < total && i < sizeof buffer; i++) {
        buffer[i] = byte_at(total, i);
    }
    /* A datagram may be lost; three are not. */
    for (int attempt = 0; status == BH_STATUS_OK && attempt < 3 && count == 0; attempt++) {
        status = bh_socket_send(socket, buffer, total, &count);
        if (status == BH_STATUS_OK) {
            status = bh_socket_receive_some(socket, buffer, sizeof buffer, &count, 3000, 0);
        }
        if (status == BH_STATUS_NOTHING_PENDING) {
            status = BH_STATUS_OK;
            count = 0;
        }
    }
    uint32_t same = 0;
    while (same < count && buffer[same] == byte_at(total, same)) {
        same++;
    }
    if (status != BH_STATUS_OK) {
        say("udp", status == BH_STATUS_NOT_CONNECTED ? "closed for" : "failed with",
            status == BH_STATUS_NOT_CONNECTED ? reason : status);
    } else {
        say("udp", count == total && same == total ? "ok" : "differs at", same);
    }
    bh_socket_close(socket);
}

static void many(const char *host, uint32_t port, uint32_t total)
{
    uint32_t sockets[BH_SOCKET_STREAMS_MAX], extra, reason;
    for (uint32_t i = 0; i < BH_SOCKET_STREAMS_MAX; i++) {
        bh_status status = bh_socket_dial(&sockets[i], host, port, WAIT_MS, 0, &reason);
        if (status != BH_STATUS_OK) {
            say("many", "failed with", status);
            return;
        }
    }
    if (bh_socket_open(BH_SOCKET_KIND_STREAM, &extra) != BH_STATUS_LIMIT_REACHED) {
        say("many", "ESCAPED", 0);
    }
    for (uint32_t i = 0; i < BH_SOCKET_STREAMS_MAX; i++) {
        stream_echo("many", sockets[i], total);
    }
    for (uint32_t i = 0; i < BH_SOCKET_STREAMS_MAX; i++) {
        bh_socket_close(sockets[i]);
    }
}

static void drop(const char *host, uint32_t port)
{
    uint32_t socket, reason = 0;
    bh_status status = bh_socket_dial(&socket, host, port, WAIT_MS, 0, &reason);
    say("drop", status == BH_STATUS_OK ? "ok" : "failed with", status);
    bh_application_restart();
}

/* The same calls from a handler, in the middle of the thread's. */
void software0_handler(void)
{
    uint32_t count;
    if (flood_socket && bh_socket_send(flood_socket, buffer, 700, &count) == BH_STATUS_OK) {
        flood_sent++;
    }
    struct bh_notification notification;
    while (bh_notification_next(&notification) == BH_STATUS_OK) {
        news++;
    }
}

static void flood(const char *host, uint32_t port, uint32_t for_ms)
{
    uint32_t datagrams, strays, stream, count, opened = 0, length = 0;
    while (host[length]) {
        length++;
    }
    bh_socket_open(BH_SOCKET_KIND_DATAGRAM, &datagrams);
    bh_socket_open(BH_SOCKET_KIND_DATAGRAM, &strays);
    bh_socket_connect(datagrams, host, length, port);
    if (bh_socket_wait_connected(datagrams, WAIT_MS, 0, 0) != BH_STATUS_OK) {
        say("flood", "failed with", 0);
        return;
    }
    bh_notification_enable(LINE);
    NVIC_ISER(LINE) = BIT(LINE);
    flood_socket = datagrams;
    uint32_t until = now_ms() + for_ms, sent = 0;
    while ((int32_t)(now_ms() - until) < 0) {
        sent += bh_socket_send(datagrams, buffer, 1000, &count) == BH_STATUS_OK;
        NVIC_ISPR(LINE) = BIT(LINE);
        /* Streams to where nobody is: each asks for a neighbour that does not exist. */
        if (bh_socket_open(BH_SOCKET_KIND_STREAM, &stream) == BH_STATUS_OK) {
            static const char nobody[] = "10.0.2.99";
            bh_socket_connect(stream, nobody, sizeof nobody - 1, 9);
            opened++;
            if (opened % 4 == 0) {
                bh_socket_close(stream);
            }
        }
        struct bh_socket_address to = {{10, 0, 2, (uint8_t)(100u + sent % 100u)}, 9, 0};
        bh_socket_send_to(strays, &to, buffer, 600);
    }
    flood_socket = 0;
    bh_socket_close(datagrams);
    bh_socket_close(strays);
    bh_notification_enable(0xFFFFFFFFu);
    say("flood", sent > 0 && flood_sent > 0 ? "ok" : "sent", sent + flood_sent);
    bh_application_restart();
}

static void wrong(const char *host, uint32_t port)
{
    static const uint32_t wild[] = {0, 4, SECURE_MEMORY, 0x10000000u, 0x60000000u, BH_BOARD_RAM_BASE - 4u,
                                    BH_BOARD_RAM_BASE + BH_BOARD_RAM_LENGTH - 2u, BH_BOARD_UART1_BASE, 0xFFFFFFFCu};
    uint32_t socket, datagrams, count, reason, length = 0, bad = 0;
    struct bh_socket_address to = {{10, 0, 2, 2}, 9, 0};
    while (host[length]) {
        length++;
    }
    bad += bh_socket_dial(&socket, host, port, WAIT_MS, 0, &reason) != BH_STATUS_OK;
    bad += bh_socket_open(BH_SOCKET_KIND_DATAGRAM, &datagrams) != BH_STATUS_OK;
    for (uint32_t i = 0; i < sizeof wild / sizeof *wild; i++) {
        void *at = (void *)wild[i];
        bad += bh_socket_open(BH_SOCKET_KIND_DATAGRAM, at) != BH_STATUS_POINTER_REFUSED;
        bad += bh_socket_connect(datagrams, at, 8, 80) != BH_STATUS_POINTER_REFUSED;
        bad += bh_socket_send(socket, at, 64, &count) != BH_STATUS_POINTER_REFUSED;
        bad += bh_socket_send(socket, buffer, 64, at) != BH_STATUS_POINTER_REFUSED;
        bad += bh_socket_receive(socket, buffer, 64, at) != BH_STATUS_POINTER_REFUSED;
        bad += bh_socket_send_to(datagrams, at, buffer, 64) != BH_STATUS_POINTER_REFUSED;
        bad += bh_socket_receive_from(datagrams, at, buffer, &count) != BH_STATUS_POINTER_REFUSED;
        bad += bh_socket_receive_from(datagrams, &to, buffer, at) != BH_STATUS_POINTER_REFUSED;
        bad += bh_socket_status_read(socket, at) != BH_STATUS_POINTER_REFUSED;
        bad += bh_network_info_read(at) != BH_STATUS_POINTER_REFUSED;
        /* Wild words as handles. */
        bad += bh_socket_close(wild[i]) != BH_STATUS_HANDLE_UNKNOWN;
        bad += bh_socket_shutdown(wild[i]) != BH_STATUS_HANDLE_UNKNOWN;
        bad += bh_socket_send(wild[i], buffer, 64, &count) != BH_STATUS_HANDLE_UNKNOWN;
        bad += bh_socket_receive(wild[i], buffer, 64, &count) != BH_STATUS_HANDLE_UNKNOWN;
    }
    bad += bh_socket_send(socket, buffer, 0xFFFFFFFFu, &count) == BH_STATUS_OK && count > 512u;
    bad += bh_socket_send_to(datagrams, &to, buffer, BH_SOCKET_DATAGRAM_LEN_MAX + 1u) != BH_STATUS_ARGUMENT_REFUSED;
    bad += bh_socket_open(3, &count) != BH_STATUS_ARGUMENT_REFUSED;
    bad += bh_socket_bind(datagrams, 68) != BH_STATUS_ARGUMENT_REFUSED;
    bad += bh_socket_bind(datagrams, 50000) != BH_STATUS_ARGUMENT_REFUSED;
    /* The device itself, everybody, and the network's own affairs. */
    struct bh_network_info info = {.version = BH_NETWORK_INFO_VERSION};
    bad += bh_network_info_read(&info) != BH_STATUS_OK;
    struct bh_socket_address own = {{info.address[0], info.address[1], info.address[2], info.address[3]}, 9, 0};
    struct bh_socket_address forbidden[] = {own, {{127, 0, 0, 1}, 9, 0}, {{255, 255, 255, 255}, 9, 0},
                                            {{224, 0, 0, 1}, 9, 0}, {{10, 0, 2, 255}, 9, 0}, {{10, 0, 2, 2}, 67, 0},
                                            {{10, 0, 2, 2}, 0, 0}};
    for (uint32_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        bad += bh_socket_send_to(datagrams, &forbidden[i], buffer, 64) != BH_STATUS_ARGUMENT_REFUSED;
    }
    bh_socket_close(datagrams);
    bad += bh_socket_close(datagrams) != BH_STATUS_HANDLE_UNKNOWN;
    bh_socket_close(socket);
    say("wrong", bad ? "ESCAPED" : "ok", bad);
}

static uint32_t number(const char *text)
{
    uint32_t value = 0;
    while (*text >= '0' && *text <= '9') {
        value = value * 10u + (uint32_t)(*text++ - '0');
    }
    return value;
}

static void obey(char *line)
{
    char *words[4] = {line, "", "", ""};
    uint32_t n = 1;
    for (char *at = line; *at; at++) {
        if (*at == ' ' && n < 4) {
            *at = 0;
            words[n++] = at + 1;
        }
    }
    const char *host = words[1];
    uint32_t port = number(words[2]), size = number(words[3]);
    switch (line[0]) {
    case 't':
        tcp(host, port, size);
        break;
    case 'u':
        udp(host, port, size);
        break;
    case 'm':
        many(host, port, size);
        break;
    case 'd':
        drop(host, port);
        break;
    case 'f':
        flood(host, port, size);
        break;
    case 'w':
        wrong(host, port);
        break;
    default:
        say(line, "is no command", 0);
    }
}

int main(void)
{
    bh_console_start();
    bh_log_text(2, "sockets ready");
    bh_console_write("sockets ready\n");
    static char line[320];
    uint32_t length = 0;
    for (;;) {
        int c = bh_console_read();
        if (c == '\n') {
            line[length] = 0;
            length = 0;
            obey(line);
        } else if (c >= 0 && length < sizeof line - 1) {
            line[length++] = (char)c;
        } else if (c < 0) {
            __asm volatile("wfi");
        }
    }
}
