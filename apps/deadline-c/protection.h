/* The application's own memory protection, laid out as an RTOS does that gives each task a region of its own: everything is
 * allowed by one region or another, and the rest by the background. */
#ifndef PROTECTION_H
#define PROTECTION_H

#include "bulkhead.h"

#define MPU_CTRL (*(volatile uint32_t *)0xE000ED94u)
#define MPU_RNR (*(volatile uint32_t *)0xE000ED98u)
#define MPU_RBAR (*(volatile uint32_t *)0xE000ED9Cu)
#define MPU_RLAR (*(volatile uint32_t *)0xE000EDA0u)
#define MPU_ON_WITH_BACKGROUND 5u

static void protection_region(uint32_t number, uint32_t base, uint32_t length, uint32_t access)
{
    MPU_RNR = number;
    MPU_RBAR = base | access << 1;
    MPU_RLAR = ((base + length - 1u) & ~0x1Fu) | 1u;
}

static void protection_on(void)
{
    enum { READ_WRITE = 1, READ_ONLY = 3, TASK_BYTES = 1024 };
    uint32_t end = BH_BOARD_RAM_BASE + BH_BOARD_RAM_LENGTH;
    protection_region(0, BH_BOARD_FLASH_BASE, BH_BOARD_FLASH_LENGTH, READ_ONLY);
    protection_region(1, BH_BOARD_RAM_BASE, BH_BOARD_RAM_LENGTH / 2u, READ_WRITE);
    for (uint32_t task = 1; task <= 6u; task++) {
        protection_region(task + 1u, end - task * TASK_BYTES, TASK_BYTES, READ_WRITE);
    }
    MPU_CTRL = MPU_ON_WITH_BACKGROUND;
    __asm volatile("dsb\n isb");
}

static void protection_off(void)
{
    MPU_CTRL = 0;
    __asm volatile("dsb\n isb");
}

#endif
