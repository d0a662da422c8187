/* Three tasks that call the hypervisor all the time, switched by a tick that comes at any moment: whoever shares the
 * processor between tasks must get each of them back from a call as the call found it. Every second it says how often they
 * called, how often they were switched within a call, and how often something was wrong. Started with `p` they are plain;
 * with `u` they have no privileges; with `f` they have floating-point registers to keep, which the tick's handler uses as
 * well; with `m` one of them has. */
#include "bh_console.h"
#include "bulkhead.h"

#define TASKS 3u
/* bh_clock_monotonic_read_us, by its slot: the header's function would keep no register for us. */
#define CLOCK_GATEWAY BH_GATEWAY(3u)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xE000E014)
#define SYSTICK_VALUE (*(volatile uint32_t *)0xE000E018)
#define CPACR (*(volatile uint32_t *)0xE000ED88)

/* r0-r3, r12, lr, pc, xPSR, as the processor takes them off. */
#define FRAME_WORDS 8u
/* r4-r11 and EXC_RETURN, as switch_tasks takes them off. */
#define KEPT_WORDS 9u
#define STACK_WORDS 512u
/* Thread, process stack, Non-secure. */
#define EXC_RETURN 0xFFFFFFBCu

static uint32_t stacks[TASKS][STACK_WORDS] __attribute__((aligned(8)));
static uint32_t *pointers[TASKS];
static uint32_t current, seed = 1;
static const char *kind_name;
static volatile uint32_t report_is_due;
static volatile uint32_t calls[TASKS], refused[TASKS], late[TASKS], lost[TASKS], switches, switched_in_call;
/* A bit for each task. */
volatile uint32_t uses_float;

/* Calls `gateway` with two arguments, all registers that a function keeps being `pattern` and what follows it. Returns the
 * status, and in the upper half how many of them came back changed. */
__attribute__((naked)) static uint32_t call_with(uint32_t gateway, uint32_t a, uint32_t b, uint32_t pattern)
{
    (void)gateway, (void)a, (void)b, (void)pattern;
    __asm volatile(".fpu fpv5-sp-d16\n"
                   "push {r4-r11, lr}\n"
                   "sub sp, #4\n"
                   "mov lr, r0\n"
                   "mov r0, r1\n"
                   "mov r1, r2\n"
                   "mov r4, r3\n"
                   "add r5, r3, #1\n"
                   "add r6, r3, #2\n"
                   "add r7, r3, #3\n"
                   "add r8, r3, #4\n"
                   "add r9, r3, #5\n"
                   "add r10, r3, #6\n"
                   "add r11, r3, #7\n"
                   "ldr r2, =uses_float\n"
                   "ldr r2, [r2]\n"
                   "lsr r12, r3, #24\n"
                   "lsr r2, r2, r12\n"
                   "and r2, r2, #1\n"
                   "str r2, [sp]\n"
                   "cbz r2, 1f\n"
                   "vmov s0, r4\n"
                   "vmov s15, r5\n"
                   "vmov s16, r6\n"
                   "vmov s31, r7\n"
                   "1: mov r12, sp\n"
                   "blx lr\n"
                   "ldr r2, [sp]\n"
                   "movs r1, #0\n"
                   "cbz r2, 2f\n"
                   "vmov r3, s0\n"
                   "cmp r3, r4\n"
                   "it ne\n"
                   "addne r1, #1\n"
                   "vmov r3, s15\n"
                   "cmp r3, r5\n"
                   "it ne\n"
                   "addne r1, #1\n"
                   "vmov r3, s16\n"
                   "cmp r3, r6\n"
                   "it ne\n"
                   "addne r1, #1\n"
                   "vmov r3, s31\n"
                   "cmp r3, r7\n"
                   "it ne\n"
                   "addne r1, #1\n"
                   "2: sub r5, #1\n"
                   "sub r6, #2\n"
                   "sub r7, #3\n"
                   "sub r8, #4\n"
                   "sub r9, #5\n"
                   "sub r10, #6\n"
                   "sub r11, #7\n"
                   ".irp kept, r5, r6, r7, r8, r9, r10, r11\n"
                   "cmp r4, \\kept\n"
                   "it ne\n"
                   "addne r1, #1\n"
                   ".endr\n"
                   "orr r0, r0, r1, lsl #16\n"
                   "add sp, #4\n"
                   "pop {r4-r11, pc}\n"
                   ".pool\n");
}

static uint32_t sum(const volatile uint32_t *numbers)
{
    uint32_t all = 0;
    for (uint32_t i = 0; i < TASKS; i++) {
        all += numbers[i];
    }
    return all;
}

static char *number(char *to, const char *name, uint32_t value)
{
    return bh_text_append_number(bh_text_append(to, name), value);
}

static void report(void)
{
    char line[160];
    char *end = number(bh_text_append(line, kind_name), "tasks: calls ", sum(calls));
    end = number(end, " switches ", switches);
    end = number(end, " within a call ", switched_in_call);
    end = number(end, " refused ", sum(refused));
    end = number(end, " late ", sum(late));
    end = number(end, " lost ", sum(lost));
    end = bh_text_append(end, "\n");
    *end = 0;
    bh_console_write(line);
}

__attribute__((used)) static void task(uint32_t own)
{
    uint64_t before = 0, said = 0;
    if (uses_float >> own & 1u) {
        __asm volatile(".fpu fpv5-sp-d16\n"
                       "vmov s0, %0\n"
                       :
                       : "r"(own));
    }
    for (uint32_t n = 0;; n++) {
        uint64_t now = 0;
        uint32_t pattern = own << 24 | (n & 0xFFFFFu) << 4;
        uint32_t status = call_with(CLOCK_GATEWAY, (uint32_t)(uintptr_t)&now, 0, pattern);
        /* The time was written to this task's own stack. */
        refused[own] += status != BH_STATUS_OK;
        late[own] += now < before;
        lost[own] += now == 0 || current != own;
        before = now;
        calls[own]++;
        if (own == 0) {
            if (now - said >= 1000000u) {
                said = now;
                report_is_due = 1;
            }
        }
    }
}

/* Keeps the pointer of whoever stood still, and says who goes on. Reports, since not every task may use the console. */
__attribute__((used)) static uint32_t *next_task(uint32_t *pointer, uint32_t exc_return)
{
    /* EXC_RETURN.S: its frame lies on the hypervisor's stack. */
    switched_in_call += (exc_return & 0x40u) != 0;
    switches++;
    if (report_is_due) {
        report_is_due = 0;
        report();
    }
    pointers[current] = pointer;
    current = (current + 1u) % TASKS;
    seed = seed * 1664525u + 1013904223u;
    SYSTICK_RELOAD = 700u + (seed >> 22);
    SYSTICK_VALUE = 0;
    return pointers[current];
}

__attribute__((naked)) void systick_handler(void)
{
    __asm volatile(".fpu fpv5-sp-d16\n"
                   "ldr r2, =uses_float\n"
                   "ldr r2, [r2]\n"
                   "mrs r0, psp\n"
                   "tst lr, #16\n"
                   "it eq\n"
                   "vstmdbeq r0!, {s16-s31}\n"
                   "cbz r2, 1f\n"
                   "vmov s0, r0\n"
                   "vmov s31, r0\n"
                   "1: stmdb r0!, {r4-r11, lr}\n"
                   "mov r1, lr\n"
                   "bl next_task\n"
                   "ldmia r0!, {r4-r11, lr}\n"
                   "tst lr, #16\n"
                   "it eq\n"
                   "vldmiaeq r0!, {s16-s31}\n"
                   "msr psp, r0\n"
                   "bx lr\n"
                   ".pool\n");
}

static void prepare(uint32_t number)
{
    uint32_t *frame = &stacks[number][STACK_WORDS - FRAME_WORDS];
    frame[0] = number;
    frame[6] = (uint32_t)(uintptr_t)task & ~1u;
    frame[7] = 0x01000000u;
    frame[-1] = EXC_RETURN;
    pointers[number] = frame - KEPT_WORDS;
}

/* `control`: the register's bits SPSEL and nPRIV. The tick runs from here on. */
__attribute__((naked, noreturn)) static void become_task_0(uint32_t *stack_top, uint32_t control)
{
    (void)stack_top, (void)control;
    __asm volatile("msr psp, r0\n"
                   "movs r2, #2\n"
                   "msr control, r2\n"
                   "isb\n"
                   "ldr r2, =0xE000E010\n"
                   "movs r3, #7\n"
                   "str r3, [r2]\n"
                   "msr control, r1\n"
                   "isb\n"
                   "movs r0, #0\n"
                   "b task\n"
                   ".pool\n");
}

int main(void)
{
    bh_console_start();
    bh_console_write("tasks start\n");
    int kind = 0;
    while (kind != 'p' && kind != 'u' && kind != 'f' && kind != 'm') {
        kind = bh_console_read();
    }
    CPACR |= 0xFu << 20;
    __asm volatile("dsb\n"
                   "isb\n");
    uses_float = kind == 'f' ? 7u : kind == 'm';
    kind_name = kind == 'f' ? "float " : kind == 'm' ? "mixed " : kind == 'u' ? "unprivileged " : "";
    for (uint32_t i = 1; i < TASKS; i++) {
        prepare(i);
    }
    SYSTICK_RELOAD = 1000u;
    SYSTICK_VALUE = 0;
    become_task_0(&stacks[0][STACK_WORDS], kind == 'u' ? 3u : 2u);
}
