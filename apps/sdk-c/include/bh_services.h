/* Messages, configuration, sleep and random bytes, with the waiting done.
 *
 * The calls themselves are in bulkhead.h and never wait. Those of these functions that end in _wait wait in the
 * thread, with WFI, and may not be called from an interrupt handler. */
#ifndef BH_SERVICES_H
#define BH_SERVICES_H

#include "bulkhead.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Takes the oldest message: its body is in buffer, its id, topic and length in message. What is longer than the buffer
 * is refused to its sender and skipped. BH_STATUS_NOTHING_PENDING when there is none. A message that must survive a
 * fault between here and its last use is received and finished with the calls of bulkhead.h instead. */
bh_status bh_message_take(struct bh_message *message, void *buffer, uint32_t length_bytes);

/** Sends a text that ends in zero. */
bh_status bh_message_send_text(uint32_t topic, const char *text, uint32_t *id);

/** Reads the value of a key that ends in zero; value tells its length and version. Waits while the configuration is
 * read from flash, some milliseconds after a start. */
bh_status bh_config_get_wait(const char *key, struct bh_config_value *value, void *buffer, uint32_t length_bytes);

/** Sleeps until a notification comes or the time is over; writes which, a BH_WAKE_ value. Interrupts of the application
 * are served meanwhile; with until_interrupt not zero, it also ends the sleep and returns BH_STATUS_BUSY once
 * *until_interrupt is not zero. */
bh_status bh_power_sleep_wait(uint32_t milliseconds, volatile uint32_t *until_interrupt, uint32_t *wake);

/** Fills a buffer of any length with random bytes, fit for keys. Asks until as many are ready, so not from an interrupt
 * handler. BH_STATUS_CALL_UNKNOWN when the hypervisor is older than bh_random_read: nothing of it is random then. */
bh_status bh_random_fill_wait(void *buffer, uint32_t length_bytes);

#ifdef __cplusplus
}
#endif
#endif
