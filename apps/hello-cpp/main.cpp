// C++17 on newlib: constructors before main, templates, virtual calls, printf into a line of the log, and streams that
// close themselves: what is typed into the console leads to a peer.
// Exceptions, RTTI and libstdc++ are left out, as firmware usually does.
#include <stdint.h>
#include <stdio.h>

#include "bh_console.h"
#include "bulkhead.hpp"
#include "talk.hpp"

namespace {

volatile uint32_t *const systick = reinterpret_cast<volatile uint32_t *>(0xE000E010);
constexpr uint32_t ticks_per_second = 100;
volatile uint32_t *const nvic_enable = reinterpret_cast<volatile uint32_t *>(0xE000E100);
constexpr uint32_t notification_line = BH_BOARD_SOFTWARE_INTERRUPT_0;
volatile uint32_t ticks;
volatile bool news;

template <typename... Arguments>
void log(const char *format, Arguments... arguments)
{
    char line[BH_LOG_TEXT_LEN_MAX];
    snprintf(line, sizeof line, format, arguments...);
    bh_log_text(2, line);
}

class Filter {
public:
    virtual uint32_t operator()(uint32_t sample) = 0;

protected:
    ~Filter() = default;
};

template <unsigned Weight>
class Smooth final : public Filter {
public:
    uint32_t operator()(uint32_t sample) override
    {
        value += (sample * 256 - value) / Weight;
        return value / 256;
    }

private:
    uint32_t value = 0;
};

// Constructed before main, as the standard promises.
class Greeting {
public:
    explicit Greeting(uint32_t place) : right(constructed == place) { ++constructed; }
    bool was_constructed_in_turn() const { return right; }

private:
    static uint32_t constructed;
    bool right;
};

uint32_t Greeting::constructed;
Greeting late(1);
// Before all that have no priority, though it is written behind them.
__attribute__((init_priority(101))) Greeting early(0);
Smooth<4> smooth;
Filter &filter = smooth;

void listen()
{
    // What comes meanwhile raises the line again.
    news = false;
    while (const auto notification = bulkhead::next_notification()) {
        if (notification.value.kind == BH_NOTIFICATION_UPDATE_READY) {
            log("hello-cpp: an update of %lu pages is staged, applying it now", notification.value.value);
            bh_update_apply_now();
        }
    }
}

void second_over(uint32_t second)
{
    log("hello-cpp second %lu, smoothed %lu", second, filter(second * 100));
    uint8_t buffer[BH_MESSAGE_LEN_MAX];
    if (bulkhead::Message message{buffer, sizeof buffer}) {
        log("hello-cpp: message %lu of %lu bytes", message.id(), message.size());
        message.accept();
    }
    if (uint8_t name[64]; const auto value = bulkhead::config("name", name)) {
        log("hello-cpp is called %.*s", static_cast<int>(value.value.length_bytes), name);
    }
}

// Sleeps until something happens, and sees to what the application does besides talking.
void work()
{
    static uint32_t seconds;
    __asm volatile("wfi");
    if (news) {
        listen();
    }
    if (ticks / ticks_per_second > seconds) {
        second_over(++seconds);
    }
}

// A line from the console.
class Typed {
public:
    // The line without its end, once it is whole; nullptr before.
    char *take()
    {
        for (int c = bh_console_read(); c >= 0; c = bh_console_read()) {
            if (c == '\n') {
                text_[length_] = 0;
                length_ = 0;
                return text_;
            }
            if (length_ < sizeof text_ - 1) {
                text_[length_++] = static_cast<char>(c);
            }
        }
        return nullptr;
    }

private:
    char text_[320];
    size_t length_ = 0;
};

} // namespace

extern "C" void systick_handler()
{
    ticks = ticks + 1;
}

// The hypervisor pends this line when it has news.
extern "C" void software0_handler()
{
    news = true;
}

int main()
{
    bh_console_start();
    if (!early.was_constructed_in_turn() || !late.was_constructed_in_turn()) {
        bh_log_text(0, "hello-cpp: a constructor did not run in its turn");
        return 1;
    }
    systick[1] = BH_BOARD_CLOCK_HZ / ticks_per_second - 1;
    systick[2] = 0;
    systick[0] = 7;
    bh_notification_enable(notification_line);
    nvic_enable[notification_line / 32] = 1u << (notification_line % 32);
    log("hello-cpp starts, C++ %ld", __cplusplus);
    static Typed typed;
    for (;;) {
        work();
        if (char *line = typed.take()) {
            obey(line, work);
        }
    }
}
