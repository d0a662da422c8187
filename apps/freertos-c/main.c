/* FreeRTOS as an application: two measuring tasks feed a queue, one task logs what comes out, a timer blinks, a task of
 * its own hears what the hypervisor has to tell, and one speaks MQTT with a broker once `mqtt HOST PORT` is typed into
 * the console. Nothing of the kernel was changed for it. */
#include <FreeRTOS.h>
#include <queue.h>
#include <task.h>
#include <timers.h>

#include "bh_console.h"
#include "bh_socket.h"
#include "bulkhead.h"
#include "mqtt.h"

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

static void tell_staged(void)
{
    char line[BH_LOG_TEXT_LEN_MAX];
    char *end = bh_text_append(line, "freertos v");
    end = bh_text_append_number(end, APP_VERSION);
    end = bh_text_append(end, ": update is staged, applying it now");
    *end = 0;
    bh_log_text(2, line);
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
                tell_staged();
                bh_update_apply_now();
            }
        }
        ulTaskNotifyTake(pdTRUE, portMAX_DELAY);
    }
}

static void let_others_run(void)
{
    vTaskDelay(1);
}

/* Waits for `mqtt HOST PORT` and returns the port; the host is written to `host`. */
static uint32_t typed_broker(char *host, uint32_t host_len)
{
    for (;;) {
        char line[96];
        uint32_t length = 0;
        int c = 0;
        while (c != '\n') {
            c = bh_console_read();
            if (c < 0) {
                vTaskDelay(pdMS_TO_TICKS(10));
            } else if (length < sizeof line - 1) {
                line[length++] = (char)c;
            }
        }
        line[length] = 0;
        const char *word = "mqtt ";
        char *at = line;
        while (*word && *at == *word) {
            at++;
            word++;
        }
        if (*word) {
            continue;
        }
        uint32_t n = 0, port = 0;
        while (*at && *at != ' ' && n < host_len - 1) {
            host[n++] = *at++;
        }
        host[n] = 0;
        for (at += *at == ' '; *at >= '0' && *at <= '9'; at++) {
            port = port * 10u + (uint32_t)(*at - '0');
        }
        return port;
    }
}

static void say(const char *what, const uint8_t *text, uint32_t length)
{
    bh_console_write(what);
    while (length-- > 0) {
        char letter[2] = {(char)*text++, 0};
        bh_console_write(letter);
    }
    bh_console_write("\n");
}

static void failed(const char *what, uint32_t number)
{
    char line[96];
    char *end = bh_text_append(line, "mqtt: ");
    end = bh_text_append(end, what);
    end = bh_text_append(end, " failed with ");
    end = bh_text_append_number(end, number);
    *end = 0;
    bh_log_text(1, line);
    say(line, 0, 0);
}

static void talk(void *unused)
{
    (void)unused;
    static struct mqtt mqtt;
    char host[64];
    for (;;) {
        uint32_t port = typed_broker(host, sizeof host), socket = 0, reason = 0;
        uint32_t status = bh_socket_dial(&socket, host, port, 25000, let_others_run, &reason);
        if (status != BH_STATUS_OK) {
            failed("dial", status == BH_STATUS_NOT_CONNECTED ? 100u + reason : status);
            continue;
        }
        status = mqtt_connect(&mqtt, socket, "freertos", 60);
        if (status == MQTT_OK) {
            status = mqtt_subscribe(&mqtt, "freertos/told");
        }
        if (status == MQTT_OK) {
            say("mqtt ready", 0, 0);
            status = mqtt_publish(&mqtt, "freertos/said", "hello 1");
        }
        while (status == MQTT_OK || status == MQTT_NOTHING) {
            const uint8_t *payload;
            uint32_t length;
            status = mqtt_next(&mqtt, 20000, &payload, &length);
            if (status == MQTT_OK) {
                say("told ", payload, length);
            } else if (status == MQTT_NOTHING) {
                status = mqtt_ping(&mqtt);
            }
        }
        failed("talk", status);
        bh_socket_close(socket);
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
    xTaskCreate(talk, "talk", 3 * configMINIMAL_STACK_SIZE, 0, 1, 0);
    xTimerStart(timer, 0);
    vTaskStartScheduler();
    application_failed("the scheduler did not start", __LINE__);
}
