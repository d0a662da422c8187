#include "talk.hpp"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bh_console.h"
#include "bulkhead_socket.hpp"

namespace {

constexpr uint32_t patience_ms = 25000;

template <typename... Arguments>
void say(const char *format, Arguments... arguments)
{
    char line[128];
    snprintf(line, sizeof line, format, arguments...);
    bh_console_write(line);
}

// When a peer has been waited for long enough.
class Deadline {
public:
    explicit Deadline(uint32_t from_now_ms) : at_us_(now_us() + from_now_ms * UINT64_C(1000)) {}
    bool over() const { return now_us() > at_us_; }

private:
    static uint64_t now_us() { return bulkhead::monotonic_us().value; }
    uint64_t at_us_;
};

void say_not_connected(const char *name, const bulkhead::Stream &stream)
{
    if (stream.status() == BH_STATUS_NOT_CONNECTED) {
        say("%s closed for %lu\n", name, stream.reason());
    } else {
        say("%s failed with %lu\n", name, stream.status());
    }
}

// The bytes that go out and come back: others for each length.
class Pattern {
public:
    explicit Pattern(uint32_t seed) : seed_(seed) {}
    char at(uint32_t place) const { return static_cast<char>((seed_ + place) * 2654435761u >> 24); }

private:
    uint32_t seed_;
};

void tcp(const char *host, uint16_t port, uint32_t total, bh_socket_idle idle)
{
    bulkhead::Stream stream{host, port, patience_ms, idle};
    if (!stream) {
        return say_not_connected("tcp", stream);
    }
    const Pattern pattern{total};
    const Deadline deadline{patience_ms};
    char buffer[BH_SOCKET_TRANSFER_LEN_MAX];
    uint32_t sent = 0, received = 0;
    // Both directions flow at the same time: the peer sends back before it has all.
    while (received < total) {
        uint32_t piece = 0;
        while (piece < sizeof buffer && sent + piece < total) {
            buffer[piece] = pattern.at(sent + piece);
            piece++;
        }
        if (piece > 0) {
            if (const auto now = stream.send_some(buffer, piece)) {
                sent += now.value;
            }
        }
        const auto echo = stream.receive(buffer, 0);
        if (echo.status == BH_STATUS_NOTHING_PENDING) {
            idle();
        } else if (!echo) {
            return say("tcp failed with %lu\n", echo.status);
        }
        for (uint32_t i = 0; echo && i < echo.value; i++, received++) {
            if (buffer[i] != pattern.at(received)) {
                return say("tcp differs at %lu\n", received);
            }
        }
        if (deadline.over()) {
            return say("tcp took too long after %lu\n", received);
        }
    }
    say("tcp ok %lu\n", received);
}

// Takes an answer in whatever pieces it comes: its first line, its head up to the empty line, its body.
class Answer {
public:
    void take(const char *bytes, uint32_t n)
    {
        for (uint32_t i = 0; i < n; i++) {
            if (head_ended_) {
                length_++;
                // FNV-1a.
                sum_ = (sum_ ^ static_cast<uint8_t>(bytes[i])) * 16777619u;
            } else {
                head(bytes[i]);
            }
        }
    }
    bool whole() const { return head_ended_ && (expected_ < 0 || static_cast<uint32_t>(expected_) == length_); }
    long status() const { return status_; }
    uint32_t length() const { return length_; }
    uint32_t sum() const { return sum_; }

private:
    void head(char byte)
    {
        if (byte != '\n') {
            if (byte != '\r' && at_ < sizeof line_ - 1) {
                line_[at_++] = byte;
            }
            return;
        }
        line_[at_] = 0;
        head_ended_ = at_ == 0;
        at_ = 0;
        if (strncmp(line_, "HTTP/1.", 7) == 0) {
            status_ = strtol(line_ + 9, nullptr, 10);
        } else if (strncasecmp(line_, "Content-Length:", 15) == 0) {
            expected_ = strtol(line_ + 15, nullptr, 10);
        }
    }

    char line_[128];
    uint32_t at_ = 0;
    bool head_ended_ = false;
    long status_ = 0;
    long expected_ = -1;
    uint32_t length_ = 0;
    uint32_t sum_ = 2166136261u;
};

void http(const char *host, uint16_t port, const char *path, bh_socket_idle idle)
{
    bulkhead::Stream stream{host, port, patience_ms, idle};
    if (!stream) {
        return say_not_connected("http", stream);
    }
    char buffer[512];
    const int length =
        snprintf(buffer, sizeof buffer, "GET %s HTTP/1.0\r\nHost: %s:%u\r\n\r\n", path, host, static_cast<unsigned>(port));
    if (length < 0 || static_cast<size_t>(length) >= sizeof buffer) {
        return say("http failed: the path is too long\n");
    }
    bh_status status = stream.send(buffer, static_cast<uint32_t>(length), patience_ms);
    Answer answer;
    const Deadline deadline{patience_ms};
    while (status == BH_STATUS_OK && !deadline.over()) {
        const auto some = stream.receive(buffer, patience_ms);
        status = some.status;
        answer.take(buffer, some ? some.value : 0);
    }
    // The end of this protocol's body is the end of the connection.
    if (status != BH_STATUS_NOT_CONNECTED || !answer.whole()) {
        return say("http failed with %lu after %lu bytes\n", status, answer.length());
    }
    say("http %ld, %lu bytes, sum %lu\n", answer.status(), answer.length(), answer.sum());
}

} // namespace

void obey(char *line, bh_socket_idle idle)
{
    const char *name = strtok(line, " ");
    const char *host = strtok(nullptr, " ");
    const char *port = strtok(nullptr, " ");
    const char *what = strtok(nullptr, " ");
    if (!what) {
        return say("a line is NAME HOST PORT WHAT\n");
    }
    const auto number = static_cast<uint16_t>(strtoul(port, nullptr, 10));
    if (strcmp(name, "tcp") == 0) {
        tcp(host, number, strtoul(what, nullptr, 10), idle);
    } else if (strcmp(name, "http") == 0) {
        http(host, number, what, idle);
    } else {
        say("no command is called so\n");
    }
}
