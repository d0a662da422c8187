#include "matrix_asm.h"

#include "bulkhead.h"

#pragma GCC diagnostic ignored "-Wunused-parameter" /* Naked functions find them in registers. */

void (*volatile matrix_timer_action)(void);
volatile uint32_t matrix_leaks, matrix_leaks_wanted, matrix_leak_exception, matrix_leak_calls;
volatile uint32_t matrix_without_float;
/* Where the leaking loop goes on, and its stack. */
volatile uint32_t matrix_leak_resume, matrix_leak_stack;

#define WITH_FLOAT 1u
#define ALIGNED 2u

/* r0 gateway, r1 arguments, r2 where to put r0-r3, r12, flags, sp difference, lr, r3 whether to use s0 to s31 and whether the
 * stack is aligned to 8 bytes; returns r4 to r11 mismatches. */
__attribute__((naked)) static uint32_t call_with_patterns(uint32_t gateway, const uint32_t *arguments, uint32_t *out,
                                                           uint32_t how)
{
    __asm volatile(".fpu fpv5-sp-d16\n"
                   "push {r4-r11, lr}\n"
                   "tst r3, #2\n it ne\n subne sp, #4\n"
                   "push {r2, r3}\n"
                   "mov r12, r0\n"
                   "mov r4, #0x44\n mov r5, #0x55\n mov r6, #0x66\n mov r7, #0x77\n"
                   "mov r8, #0x88\n mov r9, #0x99\n mov r10, #0xAA\n mov r11, #0xBB\n"
                   /* FPCA, or the thread would have floating-point registers in use for ever. */
                   "tst r3, #1\n bne 7f\n mrs lr, control\n bic lr, lr, #4\n msr control, lr\n isb\n b 8f\n"
                   "7: vmov s0, r4\n vmov s1, r5\n vmov s15, r6\n vmov s16, r7\n vmov s31, r8\n"
                   "8: ldmia r1, {r0-r3}\n"
                   "mov lr, sp\n"
                   "push {r12, lr}\n"
                   "movw lr, #0\n movt lr, #0xF80F\n msr apsr_nzcvqg, lr\n"
                   "blx r12\n"
                   /* Nothing may be touched before it is kept. */
                   "push {r12, lr}\n"
                   "mrs r12, apsr\n push {r12}\n"
                   "ldr r12, [sp, #16]\n" /* the stack pointer as it was */
                   "push {r3}\n"
                   "mov r3, sp\n sub r3, r12, r3\n sub r3, r3, #24\n"
                   "ldr r12, [r12]\n" /* out */
                   "str r0, [r12]\n str r1, [r12, #4]\n str r2, [r12, #8]\n"
                   "str r3, [r12, #24]\n"
                   "pop {r3}\n str r3, [r12, #12]\n"
                   "pop {r3}\n str r3, [r12, #20]\n"
                   "pop {r3}\n str r3, [r12, #16]\n"
                   "pop {r3}\n str r3, [r12, #28]\n"
                   "movs r0, #0\n"
                   "cmp r4, #0x44\n it ne\n orrne r0, #1\n cmp r5, #0x55\n it ne\n orrne r0, #1\n"
                   "cmp r6, #0x66\n it ne\n orrne r0, #1\n cmp r7, #0x77\n it ne\n orrne r0, #1\n"
                   "cmp r8, #0x88\n it ne\n orrne r0, #1\n cmp r9, #0x99\n it ne\n orrne r0, #1\n"
                   "cmp r10, #0xAA\n it ne\n orrne r0, #1\n cmp r11, #0xBB\n it ne\n orrne r0, #1\n"
                   "ldr r1, [sp, #12]\n tst r1, #1\n beq 9f\n" /* how */
                   "vmov r1, s0\n cmp r1, #0x44\n it ne\n orrne r0, #2\n"
                   "vmov r1, s1\n cmp r1, #0x55\n it ne\n orrne r0, #2\n"
                   "vmov r1, s15\n cmp r1, #0x66\n it ne\n orrne r0, #2\n"
                   "vmov r1, s16\n cmp r1, #0x77\n it ne\n orrne r0, #2\n"
                   "vmov r1, s31\n cmp r1, #0x88\n it ne\n orrne r0, #2\n"
                   "9: ldr r1, [sp, #12]\n"
                   "add sp, #16\n" /* gateway and stack pointer, out and how */
                   "tst r1, #2\n it ne\n addne sp, #4\n"
                   "pop {r4-r11, pc}\n");
}

uint32_t matrix_call(uint32_t slot, const uint32_t arguments[4], uint32_t *status)
{
    uint32_t out[8] = {0};
    /* A gateway's shortest way home is that of an aligned stack and no floating-point registers. */
    uint32_t how = matrix_without_float ? ALIGNED : WITH_FLOAT;
    uint32_t others = call_with_patterns(BH_GATEWAY(slot), arguments, out, how);
    *status = out[0];
    uint32_t wrong = (out[1] != 0) | (out[2] != 0) << 1 | (out[3] != 0) << 2 | (out[4] != 0) << 3;
    wrong |= ((out[5] & 0xF80F0000u) != 0) << 4 | (out[7] != 0) << 8;
    wrong |= (others & 1u) << 5 | (others >> 1 & 1u) << 6 | (out[6] != 0) << 7;
    return wrong;
}

__attribute__((naked)) static void call_with_return(uint32_t gateway, uint32_t address)
{
    __asm volatile("push {r4, lr}\n mov r4, r0\n mov lr, r1\n movs r0, #0\n movs r1, #0\n movs r2, #0\n movs r3, #0\n"
                   "bx r4\n");
}

void matrix_call_returning_to(uint32_t slot, uint32_t address)
{
    call_with_return(BH_GATEWAY(slot), address);
}

__attribute__((naked)) void matrix_on_process_stack(void (*what)(void), void *top)
{
    __asm volatile("push {r4, lr}\n msr psp, r1\n mrs r4, control\n orr r4, r4, #2\n msr control, r4\n isb\n"
                   "blx r0\n"
                   "mrs r4, control\n bic r4, r4, #2\n msr control, r4\n isb\n pop {r4, pc}\n");
}

__attribute__((used)) void matrix_timer(void);

volatile uint32_t matrix_entries_left, matrix_pattern_holds;
/* None is 0, nor what a register of the hypervisor's has by chance. */
const uint32_t matrix_pattern[13] = {0x5A0B3C01, 0x5A1B3C02, 0x5A2B3C03, 0x5A3B3C04, 0x5A4B3C05, 0x5A5B3C06, 0x5A6B3C07,
                                     0x5A7B3C08, 0x5A8B3C09, 0x5A9B3C0A, 0x5AAB3C0B, 0x5ABB3C0C, 0x5ACB3C0D};

__attribute__((naked)) void matrix_wait_with_pattern(void)
{
    __asm volatile("push {r4-r11, lr}\n sub sp, #4\n"
                   "ldr r12, =matrix_pattern\n ldmia r12, {r0-r12}\n"
                   "ldr lr, =matrix_pattern_holds\n str r0, [lr]\n"
                   "1: ldr lr, =matrix_entries_left\n ldr lr, [lr]\n cmp lr, #0\n bne 1b\n"
                   "add sp, #4\n pop {r4-r11, pc}\n"
                   ".ltorg\n");
}

/* An interrupt that came in a gateway finds EXC_RETURN.S set. It does not return there: it makes up a frame of its own,
 * and leaves the secure one where it lies. */
__attribute__((naked)) void timer0_handler(void)
{
    __asm volatile("push {r0-r12, lr}\n"
                   "ldr r0, =matrix_pattern_holds\n ldr r0, [r0]\n cbz r0, 2f\n"
                   "mov r0, sp\n bl matrix_look_at_entry\n"
                   "2: pop {r0-r12, lr}\n"
                   "push {r4, lr}\n bl matrix_timer\n pop {r4, lr}\n"
                   "ldr r0, =matrix_leaks_wanted\n ldr r0, [r0]\n cmp r0, #0\n beq 1f\n"
                   "tst lr, #0x40\n beq 1f\n"
                   "ldr r0, =matrix_leaks\n ldr r1, [r0]\n adds r1, #1\n str r1, [r0]\n"
                   /* The stack as the loop had it: what was pushed above belongs to nobody any more. */
                   "ldr r0, =matrix_leak_stack\n ldr r0, [r0]\n mov sp, r0\n"
                   "ldr r1, =matrix_leak_exception\n ldr r1, [r1]\n"
                   "mov r0, #0x01000000\n orr r0, r0, r1\n"
                   "ldr r2, =matrix_leak_resume\n ldr r2, [r2]\n"
                   "push {r0}\n push {r2}\n"
                   "movs r0, #0\n mov r2, r0\n mov r3, r0\n"
                   "push {r0}\n push {r0}\n push {r0}\n push {r0}\n push {r0}\n push {r0}\n"
                   "cmp r1, #0\n"
                   "ite eq\n ldreq lr, =0xFFFFFFB8\n ldrne lr, =0xFFFFFFB0\n"
                   "1: bx lr\n"
                   ".ltorg\n");
}

__attribute__((naked)) static void leak_loop(uint32_t gateway)
{
    __asm volatile("push {r4-r11, lr}\n sub sp, #4\n"
                   "ldr r1, =matrix_leak_stack\n mov r2, sp\n str r2, [r1]\n str r0, [sp]\n"
                   "ldr r1, =matrix_leak_resume\n adr r2, 1f\n str r2, [r1]\n"
                   ".balign 4\n"
                   "1: ldr r1, =matrix_leak_stack\n ldr r1, [r1]\n mov sp, r1\n"
                   "ldr r0, =matrix_leak_calls\n ldr r1, [r0]\n subs r1, #1\n str r1, [r0]\n beq 2f\n"
                   "ldr r0, =matrix_leaks\n ldr r0, [r0]\n ldr r1, =matrix_leaks_wanted\n ldr r1, [r1]\n"
                   "cmp r0, r1\n bhs 2f\n"
                   "ldr r4, [sp]\n movs r0, #2\n mov r1, #0x80000000\n mov r2, #0x100\n movs r3, #0\n"
                   "blx r4\n"
                   "b 1b\n"
                   "2: ldr r1, =matrix_leaks_wanted\n movs r0, #0\n str r0, [r1]\n"
                   "add sp, #4\n pop {r4-r11, pc}\n"
                   ".ltorg\n");
}

void matrix_leak_loop(uint32_t slot)
{
    leak_loop(BH_GATEWAY(slot));
}
