// A stream for C++17, closed where its scope ends. It waits as bh_socket.h does; none of it is for interrupt handlers.
#ifndef BULKHEAD_SOCKET_HPP
#define BULKHEAD_SOCKET_HPP

#include "bh_socket.h"
#include "bulkhead.hpp"

namespace bulkhead {

/// A TCP connection to a peer.
class Stream {
public:
    /// Connects to a name or an address in dots. `idle` is what is done while this stream waits; without one, it sleeps.
    Stream(const char *host, uint16_t port, uint32_t at_most_ms, bh_socket_idle idle = nullptr) : idle_(idle)
    {
        status_ = bh_socket_dial(&socket_, host, port, at_most_ms, idle, &reason_);
    }
    ~Stream()
    {
        if (socket_ != 0) {
            bh_socket_close(socket_);
        }
    }
    Stream(const Stream &) = delete;
    Stream &operator=(const Stream &) = delete;
    Stream(Stream &&other) noexcept
        : socket_(other.socket_), reason_(other.reason_), status_(other.status_), idle_(other.idle_)
    {
        other.socket_ = 0;
        other.status_ = BH_STATUS_HANDLE_UNKNOWN;
    }
    Stream &operator=(Stream &&) = delete;

    /// How connecting went.
    bh_status status() const { return status_; }
    explicit operator bool() const { return status_ == BH_STATUS_OK; }
    /// A BH_SOCKET_REASON_: why it could not connect.
    uint32_t reason() const { return reason_; }
    uint32_t handle() const { return socket_; }

    /// Sends what there is room for now, and says how much. BH_STATUS_BUSY: nothing.
    Result<uint32_t> send_some(const void *bytes, uint32_t length_bytes)
    {
        Result<uint32_t> sent;
        sent.status = bh_socket_send(socket_, bytes, length_bytes, &sent.value);
        return sent;
    }

    /// Sends all.
    bh_status send(const void *bytes, uint32_t length_bytes, uint32_t at_most_ms)
    {
        return bh_socket_send_all(socket_, bytes, length_bytes, at_most_ms, idle_);
    }

    /// Receives at least one byte. BH_STATUS_NOT_CONNECTED: the peer has sent all.
    template <size_t Size>
    Result<uint32_t> receive(char (&buffer)[Size], uint32_t at_most_ms)
    {
        Result<uint32_t> received;
        received.status = bh_socket_receive_some(socket_, buffer, Size, &received.value, at_most_ms, idle_);
        return received;
    }

    /// Says that all was sent; receiving goes on.
    bh_status shutdown() { return bh_socket_shutdown(socket_); }

private:
    uint32_t socket_ = 0;
    uint32_t reason_ = BH_SOCKET_REASON_NONE;
    bh_status status_;
    bh_socket_idle idle_;
};

} // namespace bulkhead

#endif
