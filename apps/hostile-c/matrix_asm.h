/* What C cannot say. */
#ifndef MATRIX_ASM_H
#define MATRIX_ASM_H

#include <stdint.h>

/* Calls a slot, floating point switched on, with every register and flag set to a pattern; returns which ones came back wrong:
 * bit 0 r1, 1 r2, 2 r3, 3 r12 (must be 0), 4 flags (must be 0), 5 r4 to r11, 6 floating point, 7 the stack pointer,
 * 8 lr (must be 0). */
uint32_t matrix_call(uint32_t slot, const uint32_t arguments[4], uint32_t *status);
/* Calls a slot with a return address of the caller's own making. */
void matrix_call_returning_to(uint32_t slot, uint32_t address);
/* Runs `what` in this thread on the process stack that ends at `top`. */
void matrix_on_process_stack(void (*what)(void), void *top);
/* Calls `slot` until an interrupt has been forged out of it as often as is wanted, or `matrix_leak_calls` times. */
void matrix_leak_loop(uint32_t slot);

/* Waits with matrix_pattern in r0 to r12 until matrix_entries_left is 0; meanwhile each interrupt of the timer looks at what
 * it finds in them. */
void matrix_wait_with_pattern(void);
void timer0_handler(void);
extern const uint32_t matrix_pattern[13];
extern volatile uint32_t matrix_entries_left;
/* Not 0 while it waits: before, and behind, the registers hold something else. */
extern volatile uint32_t matrix_pattern_holds;

/* Not 0: matrix_call has no floating-point registers in use. */
extern volatile uint32_t matrix_without_float;
extern void (*volatile matrix_timer_action)(void);
extern volatile uint32_t matrix_leaks, matrix_leaks_wanted, matrix_leak_exception, matrix_leak_calls;

#endif
