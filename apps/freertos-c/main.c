/* FreeRTOS as an application: two measuring tasks feed a queue, one task logs what comes out, a timer blinks, and a
 * task of its own hears what the hypervisor has to tell. Nothing of the kernel was changed for it. */
#include <FreeRTOS.h>
#include <queue.h>
#include <task.h>
#include <timers.h>

#include "bh_console.h"
#include "bulkhead.h"

#define NVIC_ENABLE(line) (((volatile uint32_t *)0xE000E100)[(line) / 32] = 1u << ((line) % 32))
#define NVIC_PRIORITY(line) (((volatile uint8_t *)0xE000E400)[line])
#define NOTIFICATION_LINE BH_BOARD_SOFTWARE_INTERRUPT_0

struct sample {
    uint32_t sensor;
    uint32_t number;
};

static QueueHandle_t samples;
static TaskHandle_t listener;
static volatile uint32_t blinks;

void application_failed(const char *what, int line)
{
    char text[BH_LOG_TEXT_LEN_MAX];
    char *end = bh_text_append(text, "freertos: ");
    end = bh_text_append(end, what);
    end = bh_text_append(end, ", line ");
    end = bh_text_append_number(end, (uint32_t)line);
    *end = 0;
    bh_log_text(0, text);
    bh_console_write(text);
    bh_console_write("\n");
    bh_application_restart();
    for (;;) {
    }
}

void vApplicationStackOverflowHook(TaskHandle_t task, char *name)
{
    (void)task;
    application_failed(name, __LINE__);
}

void vApplicationMallocFailedHook(void)
{
    application_failed("out of heap", __LINE__);
}

/* The hypervisor pends this line when it has news. */
void software0_handler(void)
{
    BaseType_t woken = pdFALSE;
    vTaskNotifyGiveFromISR(listener, &woken);
    portYIELD_FROM_ISR(woken);
}

static void measure(void *sensor)
{
    struct sample sample = {(uint32_t)(uintptr_t)sensor, 0};
    TickType_t woken = xTaskGetTickCount();
    for (;; sample.number++) {
        xQueueSend(samples, &sample, portMAX_DELAY);
        xTaskDelayUntil(&woken, pdMS_TO_TICKS(250 * sample.sensor));
    }
}

static void report(void *unused)
{
    (void)unused;
    char line[BH_LOG_TEXT_LEN_MAX];
    uint32_t received[3] = {0};
    struct sample sample;
    for (;;) {
        xQueueReceive(samples, &sample, portMAX_DELAY);
        /* Each queue entry arrives once and in order, or the kernel's lists were damaged. */
        if (sample.number != received[sample.sensor]++) {
            application_failed("a sample was lost", __LINE__);
        }
        if (sample.sensor == 2 && sample.number % 2 == 0) {
            char *end = bh_text_append(line, "freertos: samples ");
            end = bh_text_append_number(end, received[1]);
            end = bh_text_append(end, " and ");
            end = bh_text_append_number(end, received[2]);
            end = bh_text_append(end, ", blinks ");
            end = bh_text_append_number(end, blinks);
            *end = 0;
            bh_log_text(2, line);
        }
    }
}

static void listen(void *unused)
{
    (void)unused;
    bh_notification_enable(NOTIFICATION_LINE);
    NVIC_PRIORITY(NOTIFICATION_LINE) = configMAX_SYSCALL_INTERRUPT_PRIORITY;
    NVIC_ENABLE(NOTIFICATION_LINE);
    for (;;) {
        struct bh_notification notification;
        while (bh_notification_next(&notification) == BH_STATUS_OK) {
            if (notification.kind == BH_NOTIFICATION_NETWORK_CHANGED) {
                bh_log_text(2, notification.value ? "freertos: online" : "freertos: offline");
            } else if (notification.kind == BH_NOTIFICATION_UPDATE_READY) {
                bh_log_text(2, "freertos: update is staged, applying it now");
                bh_update_apply_now();
            }
        }
        ulTaskNotifyTake(pdTRUE, pdMS_TO_TICKS(1000));
    }
}

static void blink(TimerHandle_t timer)
{
    (void)timer;
    blinks++;
}

int main(void)
{
    bh_console_start();
    const char *greeting = configUSE_TICKLESS_IDLE ? "freertos " tskKERNEL_VERSION_NUMBER " starts, tickless"
                                                   : "freertos " tskKERNEL_VERSION_NUMBER " starts, ticking";
    bh_log_text(2, greeting);
    bh_console_write(greeting);
    bh_console_write("\n");

    samples = xQueueCreate(8, sizeof(struct sample));
    TimerHandle_t timer = xTimerCreate("blink", pdMS_TO_TICKS(100), pdTRUE, 0, blink);
    configASSERT(samples && timer);
    xTaskCreate(measure, "measure-1", configMINIMAL_STACK_SIZE, (void *)1, 2, 0);
    xTaskCreate(measure, "measure-2", configMINIMAL_STACK_SIZE, (void *)2, 2, 0);
    xTaskCreate(report, "report", 2 * configMINIMAL_STACK_SIZE, 0, 1, 0);
    xTaskCreate(listen, "listen", configMINIMAL_STACK_SIZE, 0, 3, &listener);
    xTimerStart(timer, 0);
    vTaskStartScheduler();
    application_failed("the scheduler did not start", __LINE__);
}
