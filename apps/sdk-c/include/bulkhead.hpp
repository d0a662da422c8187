// The calls of bulkhead.h for C++17, without exceptions, heap or RTTI: what can fail returns its bh_status.
#ifndef BULKHEAD_HPP
#define BULKHEAD_HPP

#include <stddef.h>
#include <stdint.h>

#include "bh_services.h"
#include "bulkhead.h"

namespace bulkhead {

/// A value, or the status that says why there is none.
template <typename Value>
struct Result {
    bh_status status = BH_STATUS_OK;
    Value value{};

    explicit operator bool() const { return status == BH_STATUS_OK; }
};

namespace detail {
template <typename Value>
Result<Value> read(bh_status (*call)(Value *))
{
    Result<Value> result;
    result.status = call(&result.value);
    return result;
}

template <typename Struct>
Result<Struct> read_versioned(bh_status (*call)(Struct *), uint32_t version)
{
    Result<Struct> result;
    result.value.version = version;
    result.status = call(&result.value);
    return result;
}
} // namespace detail

inline Result<bh_limits> limits() { return detail::read_versioned(bh_limits_read, BH_LIMITS_VERSION); }
inline Result<bh_debug_state> debug_state() { return detail::read_versioned(bh_debug_state_read, BH_DEBUG_STATE_VERSION); }
inline Result<uint64_t> monotonic_us() { return detail::read(bh_clock_monotonic_read_us); }
inline Result<uint64_t> wall_us() { return detail::read(bh_clock_wall_read_us); }
inline Result<uint32_t> wake_reason() { return detail::read(bh_wake_reason_read); }
inline Result<uint32_t> boot_reason() { return detail::read(bh_boot_reason_read); }
inline Result<uint32_t> network_status() { return detail::read(bh_network_status_read); }
inline Result<bh_update_status> update_status() { return detail::read_versioned(bh_update_status_read, BH_UPDATE_STATUS_VERSION); }
inline bh_status random(void *buffer, uint32_t length_bytes) { return bh_random_fill_wait(buffer, length_bytes); }
inline Result<bh_notification> next_notification() { return detail::read(bh_notification_next); }

/// A message in a buffer of the caller's. What is neither accepted nor refused stays, and comes again.
class Message {
public:
    /// Copies the oldest message into `buffer`.
    Message(void *buffer, uint32_t length_bytes) : body_(buffer)
    {
        head_.version = BH_MESSAGE_VERSION;
        status_ = bh_message_receive(&head_, buffer, length_bytes);
    }
    ~Message() = default;
    Message(const Message &) = delete;
    Message &operator=(const Message &) = delete;

    bh_status status() const { return status_; }
    explicit operator bool() const { return status_ == BH_STATUS_OK; }
    uint32_t id() const { return head_.id; }
    uint32_t topic() const { return head_.topic; }
    const void *data() const { return body_; }
    uint32_t size() const { return head_.length_bytes; }
    bh_status accept() { return bh_message_finish(head_.id, BH_MESSAGE_OUTCOME_ACCEPTED); }
    bh_status refuse() { return bh_message_finish(head_.id, BH_MESSAGE_OUTCOME_REFUSED); }

private:
    bh_message head_{};
    const void *body_;
    bh_status status_;
};

/// Queues a message; its id.
inline Result<uint32_t> send(uint32_t topic, const void *bytes, uint32_t length_bytes)
{
    Result<uint32_t> result;
    result.status = bh_message_send(topic, bytes, length_bytes, &result.value);
    return result;
}

/// Reads a value of the configuration into an array; waits in the thread.
template <size_t Size>
Result<bh_config_value> config(const char *key, uint8_t (&buffer)[Size])
{
    Result<bh_config_value> result;
    result.status = bh_config_get_wait(key, &result.value, buffer, Size);
    return result;
}

/// Sleeps in the thread until a notification comes or the time is over; a BH_WAKE_ value.
inline Result<uint32_t> sleep(uint32_t milliseconds)
{
    Result<uint32_t> result;
    result.status = bh_power_sleep_wait(milliseconds, nullptr, &result.value);
    return result;
}

} // namespace bulkhead

#endif
