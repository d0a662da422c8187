/* Reading and writing the application's own areas of external flash, waiting for each piece.
 *
 * To do something else meanwhile, use the calls of bulkhead.h and BH_NOTIFICATION_STORAGE_DONE. None of these may be
 * called from an interrupt handler, nor while an operation of another caller goes on. */
#ifndef BH_STORAGE_H
#define BH_STORAGE_H

#include "bulkhead.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Reads any number of bytes. */
bh_status bh_storage_read_all(uint32_t area, uint32_t offset, void *buffer, uint32_t length_bytes);

/** Programs any number of bytes over erased ones. What comes before the failing piece is written. */
bh_status bh_storage_write_all(uint32_t area, uint32_t offset, const void *bytes, uint32_t length_bytes);

/** Erases the sector that starts at offset. */
bh_status bh_storage_erase_wait(uint32_t area, uint32_t offset);

#ifdef __cplusplus
}
#endif
#endif
