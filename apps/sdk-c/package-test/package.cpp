// An application in C++ with what needs the right flags to link: a destructor on the stack, one of a static, and one of a
// static in a function.
#include "bh_console.h"
#include "bulkhead.hpp"
#include "bulkhead_socket.hpp"

namespace {

class Counted {
public:
    Counted() { ++alive; }
    ~Counted() { --alive; }
    static uint32_t alive;
};

uint32_t Counted::alive;
Counted counted;

// Nothing listens at the own loopback address, so this is refused at once; the stream ends with its scope.
bool is_refused()
{
    bulkhead::Stream stream("127.0.0.1", 9, 1000);
    return stream.reason() == BH_SOCKET_REASON_FORBIDDEN;
}

} // namespace

int main()
{
    static Counted second_one;
    uint64_t seconds = 0;
    for (;;) {
        __asm volatile("wfi");
        const auto now = bulkhead::monotonic_us();
        if (now && now.value / 1000000 > seconds) {
            seconds = now.value / 1000000;
            const bool well = Counted::alive == 2 && is_refused();
            bh_log_text(2, well ? NAME " runs, two are alive" : NAME " is not well");
        }
        while (const auto notification = bulkhead::next_notification()) {
            if (notification.value.kind == BH_NOTIFICATION_UPDATE_READY) {
                bh_update_apply_now();
            }
        }
    }
}
