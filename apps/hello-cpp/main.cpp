// C++17 on newlib: constructors before main, templates, lambdas, virtual calls, and printf into a line of the log.
// Exceptions, RTTI and libstdc++ are left out, as firmware usually does.
#include <stdint.h>
#include <stdio.h>

#include "bh_console.h"
#include "bulkhead.hpp"

namespace {

volatile uint32_t *const systick = reinterpret_cast<volatile uint32_t *>(0xE000E010);
constexpr uint32_t ticks_per_second = 100;
volatile uint32_t ticks;

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
    Greeting() : magic(0xC0FFEE) {}
    bool was_constructed() const { return magic == 0xC0FFEE; }

private:
    uint32_t magic;
};

Greeting greeting;
Smooth<4> smooth;
Filter &filter = smooth;

template <typename Body>
[[noreturn]] void each_second(Body body)
{
    for (uint32_t second = 1;; second++) {
        while (ticks < second * ticks_per_second) {
            __asm volatile("wfi");
        }
        body(second);
    }
}

} // namespace

extern "C" void systick_handler()
{
    ticks = ticks + 1;
}

int main()
{
    bh_console_start();
    if (!greeting.was_constructed()) {
        bh_log_text(0, "hello-cpp: a constructor did not run");
        return 1;
    }
    systick[1] = BH_BOARD_CLOCK_HZ / ticks_per_second - 1;
    systick[2] = 0;
    systick[0] = 7;
    log("hello-cpp starts, C++ %ld", __cplusplus);
    each_second([](uint32_t second) {
        log("hello-cpp second %lu, smoothed %lu", second, filter(second * 100));
        while (const auto notification = bulkhead::next_notification()) {
            if (notification.value.kind == BH_NOTIFICATION_UPDATE_READY) {
                log("hello-cpp: an update of %lu pages is staged, applying it now", notification.value.value);
                bh_update_apply_now();
            }
        }
        uint8_t buffer[BH_MESSAGE_LEN_MAX];
        if (bulkhead::Message message{buffer, sizeof buffer}) {
            log("hello-cpp: message %lu of %lu bytes", message.id(), message.size());
            message.accept();
        }
        if (uint8_t name[64]; const auto value = bulkhead::config("name", name)) {
            log("hello-cpp is called %.*s", static_cast<int>(value.value.length_bytes), name);
        }
    });
}
