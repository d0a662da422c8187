/* Start-up code of an application. Nothing in it is special to Bulkhead: a vector table, .data, .bss, main. An
 * application that brings its own is linked without this file. */
#include <stdint.h>

extern uint32_t _stack_top, _data_load, _data_start, _data_end, _bss_start, _bss_end, _heap_start;
extern void (*const _constructors_start[])(void), (*const _constructors_end[])(void);
int main(void);
void reset_handler(void);

/* A handler that the application does not define stops here; the hypervisor notices and restarts it. */
void default_handler(void)
{
    for (;;) {
    }
}

#define HANDLER(name) void name(void) __attribute__((weak, alias("default_handler")))
HANDLER(nmi_handler);
HANDLER(hard_fault_handler);
HANDLER(memory_fault_handler);
HANDLER(bus_fault_handler);
HANDLER(usage_fault_handler);
HANDLER(supervisor_call_handler);
HANDLER(debug_monitor_handler);
HANDLER(pended_call_handler);
HANDLER(systick_handler);
HANDLER(timer0_handler);
HANDLER(uart1_receive_handler);
HANDLER(uart1_transmit_handler);
HANDLER(software0_handler);
HANDLER(software1_handler);
HANDLER(software2_handler);
HANDLER(software3_handler);

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const handler vectors[16 + 96] = {
    [0] = (handler)&_stack_top,
    [1] = reset_handler,
    [2] = nmi_handler,
    [3] = hard_fault_handler,
    [4] = memory_fault_handler,
    [5] = bus_fault_handler,
    [6] = usage_fault_handler,
    [11] = supervisor_call_handler,
    [12] = debug_monitor_handler,
    [14] = pended_call_handler,
    [15] = systick_handler,
    [16 + 3] = timer0_handler,
    [16 + 34] = uart1_receive_handler,
    [16 + 35] = uart1_transmit_handler,
    [16 + 80] = software0_handler,
    [16 + 81] = software1_handler,
    [16 + 82] = software2_handler,
    [16 + 83] = software3_handler,
};

void reset_handler(void)
{
    /* A stack that grows further is a fault that is reported; without a limit it would run through .bss and .data
     * unnoticed. The heap moves the limit up with its end: see _sbrk. */
    __asm volatile("msr msplim, %0" : : "r"(&_heap_start));
    uint32_t *from = &_data_load;
    for (uint32_t *to = &_data_start; to < &_data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &_bss_start; to < &_bss_end;) {
        *to++ = 0;
    }
    for (void (*const *constructor)(void) = _constructors_start; constructor < _constructors_end; constructor++) {
        (*constructor)();
    }
    main();
    default_handler();
}
