/* FreeRTOS V11 on a Cortex-M33 whose secure world belongs to the hypervisor: the port ARM_CM33_NTZ, unchanged. */
#ifndef FREERTOS_CONFIG_H
#define FREERTOS_CONFIG_H

#include "bh_board.h"

/* The kernel's handlers under the names of our vector table. */
#define SVC_Handler supervisor_call_handler
#define PendSV_Handler pended_call_handler
#define SysTick_Handler systick_handler

#define configCPU_CLOCK_HZ BH_BOARD_CLOCK_HZ
#define configTICK_RATE_HZ 1000
#define configTICK_TYPE_WIDTH_IN_BITS TICK_TYPE_WIDTH_32_BITS
#define configUSE_PREEMPTION 1
#define configUSE_TIME_SLICING 1
/* Version 1 ticks a thousand times a second, version 2 stops its tick while it sleeps. */
#define configUSE_TICKLESS_IDLE (APP_VERSION == 2)
#define configMAX_PRIORITIES 5
#define configMINIMAL_STACK_SIZE 256
#define configMAX_TASK_NAME_LEN 16
#define configTOTAL_HEAP_SIZE (64 * 1024)
#define configSUPPORT_DYNAMIC_ALLOCATION 1
#define configSUPPORT_STATIC_ALLOCATION 0
#define configCHECK_FOR_STACK_OVERFLOW 2
#define configUSE_MALLOC_FAILED_HOOK 1
#define configUSE_IDLE_HOOK 0
#define configUSE_TICK_HOOK 0
#define configUSE_MUTEXES 1
#define configUSE_TASK_NOTIFICATIONS 1
#define configUSE_TIMERS 1
#define configTIMER_TASK_PRIORITY 4
#define configTIMER_QUEUE_LENGTH 8
#define configTIMER_TASK_STACK_DEPTH 256

/* No MPU, no FPU context, no TrustZone of our own: we are the non-secure world. */
#define configENABLE_MPU 0
#define configENABLE_FPU 0
#define configENABLE_TRUSTZONE 0
#define configRUN_FREERTOS_SECURE_ONLY 0

/* Non-secure priorities: the hardware keeps the upper half for the hypervisor by itself. */
#define configPRIO_BITS 3
#define configKERNEL_INTERRUPT_PRIORITY (7 << (8 - configPRIO_BITS))
#define configMAX_SYSCALL_INTERRUPT_PRIORITY (2 << (8 - configPRIO_BITS))

#define INCLUDE_vTaskDelay 1
#define INCLUDE_xTaskDelayUntil 1
#define INCLUDE_vTaskSuspend 1
#define INCLUDE_uxTaskGetStackHighWaterMark 1

void application_failed(const char *what, int line) __attribute__((noreturn));
#define configASSERT(x) ((x) ? (void)0 : application_failed("assertion of the kernel", __LINE__))

#endif
