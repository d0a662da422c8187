/* As vendors' start-up code: the table in .isr_vector, their names for places in memory, Reset_Handler, newlib's
 * constructors. */
#include <stdint.h>

extern uint32_t _estack, _sidata, _sdata, _edata, _sbss, _ebss;
extern void __libc_init_array(void);
int main(void);

void Default_Handler(void)
{
    for (;;) {
    }
}

void Reset_Handler(void)
{
    uint32_t *from = &_sidata;
    for (uint32_t *to = &_sdata; to < &_edata;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &_sbss; to < &_ebss;) {
        *to++ = 0;
    }
    __libc_init_array();
    main();
    Default_Handler();
}

__attribute__((section(".isr_vector"), used)) void (*const g_pfnVectors[16 + 96])(void) = {
    (void (*)(void))&_estack,
    Reset_Handler,
    [2 ... 6] = Default_Handler,
    [11] = Default_Handler,
    [12] = Default_Handler,
    [14 ... 16 + 95] = Default_Handler,
};
