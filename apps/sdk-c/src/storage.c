#include "bh_storage.h"

/* The hypervisor goes on by its own interrupts, each of which ends the wait. */
static bh_status end(void *buffer, uint32_t length_bytes)
{
    bh_status status;
    while ((status = bh_storage_result_read(buffer, length_bytes)) == BH_STATUS_BUSY) {
        __asm volatile("wfi");
    }
    return status;
}

static uint32_t piece_of(uint32_t length_bytes)
{
    return length_bytes < BH_STORAGE_TRANSFER_LEN_MAX ? length_bytes : BH_STORAGE_TRANSFER_LEN_MAX;
}

bh_status bh_storage_read_all(uint32_t area, uint32_t offset, void *buffer, uint32_t length_bytes)
{
    bh_status status = BH_STATUS_OK;
    char *at = buffer;
    while (status == BH_STATUS_OK && length_bytes > 0) {
        uint32_t piece = piece_of(length_bytes);
        status = bh_storage_read(area, offset, piece);
        if (status == BH_STATUS_OK) {
            status = end(at, piece);
        }
        at += piece;
        offset += piece;
        length_bytes -= piece;
    }
    return status;
}

bh_status bh_storage_write_all(uint32_t area, uint32_t offset, const void *bytes, uint32_t length_bytes)
{
    bh_status status = BH_STATUS_OK;
    const char *at = bytes;
    while (status == BH_STATUS_OK && length_bytes > 0) {
        uint32_t piece = piece_of(length_bytes);
        status = bh_storage_write(area, offset, at, piece);
        if (status == BH_STATUS_OK) {
            status = end(0, 0);
        }
        at += piece;
        offset += piece;
        length_bytes -= piece;
    }
    return status;
}

bh_status bh_storage_erase_wait(uint32_t area, uint32_t offset)
{
    bh_status status = bh_storage_erase(area, offset);
    return status == BH_STATUS_OK ? end(0, 0) : status;
}
