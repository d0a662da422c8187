/* An application with a vendor's start-up code and system calls beside the SDK: what it prints goes to the log, by its
 * own _write. */
#include <stdio.h>

#include "bulkhead.h"

static uint32_t constructed;

__attribute__((constructor)) static void construct(void)
{
    constructed = 0xC0FFEE;
}

int main(void)
{
    uint64_t now_us = 0;
    setvbuf(stdout, 0, _IOLBF, 128);
    for (uint32_t second = 0;;) {
        __asm volatile("wfi");
        bh_clock_monotonic_read_us(&now_us);
        if (now_us / 1000000u > second) {
            second = (uint32_t)(now_us / 1000000u);
            printf("package-c prints, constructed %s\n", constructed == 0xC0FFEE ? "yes" : "no");
        }
        struct bh_notification notification;
        while (bh_notification_next(&notification) == BH_STATUS_OK) {
            if (notification.kind == BH_NOTIFICATION_UPDATE_READY) {
                bh_update_apply_now();
            }
        }
    }
}
