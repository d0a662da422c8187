/* Commits the rows of the attack matrix. A row is a line of hexadecimal numbers: its own number, the operation, the
 * place, and up to seven parameters. What comes back from an attack says so: `row N returned X Y`. */
#include "matrix.h"

#include "bh_console.h"
#include "bulkhead.h"
#include "matrix_asm.h"
#include "state.h"

#define REG(address) (*(volatile uint32_t *)(address))
#define NVIC_ISER(n) REG(0xE000E100u + (n) / 32u * 4u)
#define NVIC_ISPR(n) REG(0xE000E200u + (n) / 32u * 4u)
#define NVIC_IPR(n) (*(volatile uint8_t *)(0xE000E400u + (n)))
#define BIT(n) (1u << ((n) % 32u))
#define SYST_CSR REG(0xE000E010u)
#define SYST_RVR REG(0xE000E014u)
#define ICSR REG(0xE000ED04u)
#define VTOR REG(0xE000ED08u)
#define CPACR REG(0xE000ED88u)
#define SHCSR REG(0xE000ED24u)
#define FPCCR REG(0xE000EF34u)
#define FPCAR REG(0xE000EF38u)
#define ICSR_PENDSVSET (1u << 28)
#define ICSR_PENDSTSET (1u << 26)
#define TIMER(offset) REG(BH_BOARD_TIMER0_BASE + (offset))
#define LINE BH_BOARD_SOFTWARE_INTERRUPT_0
#define TIMER_LINE 3u
#define FRAME_LINE BH_BOARD_SOFTWARE_INTERRUPT_2
#define PARAMETERS_MAX 10
/* What a call comes back with for which nothing was made ready: no status, and no set of registers. */
#define NOT_READY 0xFFFFFFFFu

static volatile uint32_t row[PARAMETERS_MAX]; /* number, operation, place, a to g */
static volatile uint32_t began, done, results[2];
/* Larger than any struct that a call fills, and guards behind. */
#define OWN_WORDS 128u
static uint32_t own[OWN_WORDS] __attribute__((aligned(32)));
/* Where in it what a call is lent lies, in words. */
enum { STRUCT_AT = 0, ADDRESS_AT = 48, WORD_AT = 56, BUFFER_AT = 64, GUARDS_AT = OWN_WORDS - 4 };
#define OWN_BUFFER_BYTES 64u
#define PEER_ADDRESS 0x0202000Au /* 10.0.2.2, in the order in which it is written. */
#define DISCARD_PORT 9u

static void pend(uint32_t line)
{
    NVIC_ISER(line) = BIT(line);
    NVIC_ISPR(line) = BIT(line);
    __asm volatile("dsb\n isb");
}

#define USE(text)                                                                                                      \
    __asm volatile(".fpu fpv5-sp-d16\n" text                                                                           \
                   :                                                                                                   \
                   : "r"(a), "r"(own)                                                                                  \
                   : "r0", "r1", "r4", "r5", "r6", "r7", "lr", "memory", "cc");                                         \
    break

static void access(uint32_t operation, uint32_t a)
{
    switch (operation) {
    case LDRB: USE("ldrb r0, [%0]");
    case LDRH: USE("ldrh r0, [%0]");
    case LDR: USE("ldr r0, [%0]");
    case LDRD: USE("ldrd r4, r5, [%0]");
    case LDM: USE("ldmia %0, {r4-r7}");
    case LDMDB: USE("add r0, %0, #16\n ldmdb r0, {r4-r7}");
    case LDREX: USE("ldrex r0, [%0]");
    case LDREXB: USE("ldrexb r0, [%0]");
    case LDREXH: USE("ldrexh r0, [%0]");
    case LDA: USE("lda r0, [%0]");
    case LDAB: USE("ldab r0, [%0]");
    case LDAEX: USE("ldaex r0, [%0]");
    case LDRT: USE("ldrt r0, [%0]");
    case LDRSH: USE("ldrsh r0, [%0]");
    case VLDR: USE("vldr s0, [%0]");
    case VLDM: USE("vldmia %0, {s0-s3}");
    case POP: USE("mov r4, sp\n mov sp, %0\n pop {r5-r7}\n mov sp, r4");
    case TBB: USE("movs r0, #0\n tbb [%0, r0]");
    case LDR_PC: USE("ldr pc, [%0]");
    case STRB: USE("strb r0, [%0]");
    case STRH: USE("strh r0, [%0]");
    case STR: USE("str r0, [%0]");
    case STRD: USE("strd r4, r5, [%0]");
    case STM: USE("stmia %0, {r4-r7}");
    case STMDB: USE("add r0, %0, #16\n stmdb r0, {r4-r7}");
    case STREX: USE("ldrex r0, [%1]\n strex r0, r4, [%0]");
    case STLEX: USE("ldaex r0, [%1]\n stlex r0, r4, [%0]");
    case STL: USE("stl r0, [%0]");
    case STLB: USE("stlb r0, [%0]");
    case STRT: USE("strt r0, [%0]");
    case VSTR: USE("vstr s0, [%0]");
    case VSTM: USE("vstmia %0, {s0-s3}");
    case PUSH: USE("mov r4, sp\n add r0, %0, #16\n mov sp, r0\n push {r4-r7}\n mov sp, r4");
    default: break;
    }
}

static void execute(uint32_t operation, uint32_t a)
{
    switch (operation) {
    case BX: USE("orr r0, %0, #1\n bx r0");
    case BLX: USE("orr r0, %0, #1\n blx r0");
    case BX_ARM: USE("bic r0, %0, #1\n bx r0");
    case MOV_PC: USE("mov pc, %0");
    case POP_PC: USE("orr r0, %0, #1\n push {r0}\n pop {pc}");
    case BXNS: USE("orr r0, %0, #1\n bxns r0");
    case BLXNS: USE("bic r0, %0, #1\n blxns r0");
    case UNDEFINED: USE("udf #7");
    case BREAKPOINT: USE("bkpt #1");
    case SEMIHOSTING: USE("movs r0, #0x18\n ldr r1, =0x20026\n bkpt #0xAB");
    case SUPERVISOR_CALL: USE("svc #0");
    case TEST_TARGET_ALTERNATE: USE("tta r0, %0");
    case TEST_TARGET: __asm volatile("tt %0, %1" : "=r"(results[0]) : "r"(a)); break;
    default: break;
    }
}

/* None of these comes back by itself. */
static void ruin(uint32_t operation, uint32_t a)
{
    NVIC_ISER(LINE) = BIT(LINE);
    volatile uint32_t *pending = &NVIC_ISPR(LINE);
    uint32_t bit = BIT(LINE);
    /* Start-up code set a limit to the stack, which would stop some of them before the wall between the worlds does. */
    __asm volatile("msr msplim, %0" : : "r"(0));
    switch (operation) {
    case MSP_INTERRUPT: __asm volatile("msr msp, %0\n str %1, [%2]\n dsb\n isb\n1: b 1b" ::"r"(a), "r"(bit), "r"(pending)); break;
    case PSP_INTERRUPT:
        __asm volatile("msr psp, %0\n mov r0, #2\n msr control, r0\n isb\n str %1, [%2]\n dsb\n isb\n1: b 1b" ::"r"(a),
                       "r"(bit), "r"(pending)
                       : "r0");
        break;
    case MSP_SUPERVISOR_CALL: __asm volatile("msr msp, %0\n svc #0\n1: b 1b" ::"r"(a)); break;
    case MSPLIM_PUSH: __asm volatile("msr msplim, %0\n push {r0-r3}\n1: b 1b" ::"r"(a)); break;
    case PSPLIM_PUSH:
        __asm volatile("msr psplim, %0\n mov r0, sp\n msr psp, r0\n mov r0, #2\n msr control, r0\n isb\n push {r0-r3}\n"
                       "1: b 1b" ::"r"(a)
                       : "r0");
        break;
    case VTOR_INTERRUPT: VTOR = a; pend(LINE); break;
    case VTOR_SUPERVISOR_CALL: VTOR = a; __asm volatile("dsb\n isb\n svc #0"); break;
    case LAZY_FLOAT:
        FPCAR = a;
        FPCCR |= 1u; /* LSPACT: a save is said to be due. */
        __asm volatile(".fpu fpv5-sp-d16\n dsb\n isb\n vmov s0, s1");
        break;
    case FLOAT_INTERRUPT:
        FPCCR &= ~(1u << 30); /* Not lazily: stacked with the frame. */
        __asm volatile(".fpu fpv5-sp-d16\n vmov s0, s1\n msr msp, %0\n str %1, [%2]\n dsb\n isb\n1: b 1b" ::"r"(a),
                       "r"(bit), "r"(pending));
        break;
    case VECTOR: {
        static uint32_t table[128] __attribute__((aligned(512)));
        const uint32_t *from = (const uint32_t *)VTOR;
        for (uint32_t i = 0; i < 16 + 96; i++) {
            table[i] = from[i];
        }
        table[16 + LINE] = a;
        VTOR = (uint32_t)table;
        pend(LINE);
        break;
    }
    case FRAME: pend(FRAME_LINE); break;
    case FLOAT_FORBIDDEN:
        CPACR = 0;
        __asm volatile("dsb\n isb\n mov r0, #4\n msr control, r0\n isb" : : : "r0");
        for (volatile int i = 0; i < 200000; i++) { /* The hypervisor's tick interrupts this. */
        }
        break;
    case DEACTIVATE: __asm volatile("svc #0"); break;
    case PRETEND_ACTIVE:
        SHCSR |= a;
        pend(LINE);
        for (volatile int i = 0; i < 1000; i++) {
        }
        SHCSR = 0;
        break;
    case EAGER_FLOAT:
        FPCCR &= ~(1u << 30);
        for (uint32_t i = 0; i < 3000; i++) {
            uint32_t status = 0;
            static const uint32_t arguments[4] = {2, BH_BOARD_FLASH_BASE, BH_LOG_TEXT_LEN_MAX, 0};
            results[1] |= matrix_call(a, arguments, &status);
        }
        FPCCR |= 1u << 30;
        break;
    case FLOAT_OFF:
        CPACR = 0;
        __asm volatile(".fpu fpv5-sp-d16\n dsb\n isb\n vmov s0, s1");
        break;
    default: break;
    }
}

/* What the handler of line 82 returns with. */
__attribute__((used)) void matrix_change_frame(uint32_t *frame)
{
    if (row[1] == FRAME) {
        frame[6] = row[3];
        frame[7] = row[4];
    } else {
        matrix_handler(FRAME_LINE);
    }
}

__attribute__((naked)) void software2_handler(void)
{
    __asm volatile("mov r0, sp\n push {r4, lr}\n bl matrix_change_frame\n pop {r4, pc}");
}

static void change_register(uint32_t address, uint32_t value, uint32_t width)
{
    results[0] = REG(address & ~3u);
    if (width == 1) {
        *(volatile uint8_t *)address = (uint8_t)value;
    } else if (width == 2) {
        *(volatile uint16_t *)address = (uint16_t)value;
    } else {
        REG(address) = value;
    }
    __asm volatile("dsb\n isb");
    results[1] = REG(address & ~3u);
}

static void start_timer(uint32_t reload, uint32_t priority)
{
    NVIC_IPR(TIMER_LINE) = (uint8_t)priority;
    TIMER(0x8) = reload;
    TIMER(0x4) = reload;
    TIMER(0x0) = 9; /* On, with interrupts. */
    NVIC_ISER(TIMER_LINE) = BIT(TIMER_LINE);
}

static void stop_timer(void)
{
    TIMER(0x0) = 0;
    TIMER(0xC) = 1;
    matrix_timer_action = 0;
}

/* While the call runs, an interrupt changes the memory that it was given. */
static void flip(void)
{
    for (uint32_t i = 0; i < 8; i++) {
        own[STRUCT_AT + i] = own[STRUCT_AT + i] * 1664525u + 1013904223u;
        own[BUFFER_AT + i] = own[BUFFER_AT + i] * 1664525u + 1013904223u;
    }
    own[STRUCT_AT] &= 3;
    own[ADDRESS_AT + 1] ^= DISCARD_PORT;
    own[WORD_AT] ^= OWN_BUFFER_BYTES ^ 0x80000000u;
}

/* Puts into `arguments` what row says from `first` on, and into what those point to something that the call takes. */
static void prepare(uint32_t arguments[4], uint32_t first, uint32_t state)
{
    own[STRUCT_AT] = 1;
    own[ADDRESS_AT] = PEER_ADDRESS;
    own[ADDRESS_AT + 1] = DISCARD_PORT;
    own[WORD_AT] = OWN_BUFFER_BYTES;
    for (uint32_t guard = GUARDS_AT; guard < OWN_WORDS; guard++) {
        own[guard] = 0x5AFE5AFEu;
    }
    for (uint32_t i = 0; i < 4; i++) {
        switch (row[first + i]) {
        case OWN_HANDLE: arguments[i] = state_socket(state); break;
        case OWN_STRUCT: arguments[i] = (uint32_t)(own + STRUCT_AT); break;
        case OWN_ADDRESS: arguments[i] = (uint32_t)(own + ADDRESS_AT); break;
        case OWN_WORD: arguments[i] = (uint32_t)(own + WORD_AT); break;
        case OWN_BUFFER: arguments[i] = (uint32_t)(own + BUFFER_AT); break;
        default: arguments[i] = row[first + i]; break;
        }
    }
}

static void race(uint32_t rounds, uint32_t slot, uint32_t state)
{
    uint32_t worst = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t arguments[4], status = 0;
        matrix_without_float = i % 2; /* Gateways end differently for who has floating-point registers in use. */
        if (!state_set_up(state)) {
            results[0] = NOT_READY;
            break;
        }
        prepare(arguments, 5, state);
        matrix_timer_action = flip;
        start_timer(61u + i % 97u, 0); /* Another moment of the call each time. */
        uint32_t wrong = matrix_call(slot, arguments, &status);
        stop_timer();
        for (uint32_t guard = GUARDS_AT; guard < OWN_WORDS; guard++) {
            wrong |= (own[guard] != 0x5AFE5AFEu) << 16;
        }
        worst |= wrong;
    }
    matrix_without_float = 0;
    results[0] |= worst;
}

static void call(void)
{
    uint32_t arguments[4], status = 0;
    prepare(arguments, 4, row[8]);
    results[1] = matrix_call(row[3], arguments, &status);
    results[0] = status;
}

static const uint8_t lines[] = {80, 81, 82, 83, 34, 35};

static void pend_next(void)
{
    /* Runs in the timer's handler, above all others: the next level is the one that no handler is in. */
    for (uint32_t i = 0; i < sizeof lines; i++) {
        if (!(REG(0xE000E300u + lines[i] / 32u * 4u) & BIT(lines[i]))) {
            NVIC_ISPR(lines[i]) = BIT(lines[i]);
            return;
        }
    }
}

static uint64_t now_us(void)
{
    uint64_t now = 0;
    bh_clock_monotonic_read_us(&now);
    return now;
}

static volatile uint32_t deepest;

static void call_until(uint64_t end_us)
{
    static const char text[BH_LOG_TEXT_LEN_MAX] = {'n'};
    uint64_t now;
    do {
        bh_log_write(2, text, sizeof text);
        now = now_us();
    } while (now < end_us);
}

static volatile uint64_t nest_until;

static void nest(uint32_t milliseconds)
{
    for (uint32_t i = 0; i < sizeof lines; i++) {
        NVIC_IPR(lines[i]) = (uint8_t)((7 - i) << 5);
        NVIC_ISER(lines[i]) = BIT(lines[i]);
    }
    nest_until = now_us() + milliseconds * 1000u;
    matrix_timer_action = pend_next;
    start_timer(301, 0);
    call_until(nest_until);
    stop_timer();
    results[0] = deepest;
}

static void nested_level(void)
{
    uint32_t depth = 0;
    for (uint32_t i = 0; i < sizeof lines; i++) {
        depth += (REG(0xE000E300u + lines[i] / 32u * 4u) & BIT(lines[i])) != 0;
    }
    if (depth > deepest) {
        deepest = depth;
    }
    uint64_t now = now_us(), end = now + 20000u; /* Handlers have to end, or it would be a flood. */
    call_until(end < nest_until ? end : nest_until);
}

static void leak(void)
{
    matrix_leaks = 0;
    matrix_leaks_wanted = row[3];
    matrix_leak_calls = 3000;
    matrix_leak_exception = row[2] == HANDLER ? 16u + LINE : 0u;
    start_timer(row[4] ? row[4] : 61, 0);
    matrix_leak_loop(row[5]);
    stop_timer();
    results[0] = matrix_leaks;
}

/* An odd number of them, so that they drift against the hypervisor's tick. */
#define ENTRY_PERIOD 10007u
#define ENTRIES_ENOUGH 16u

/* Called with what the handler found in r0 to r12. Where the hypervisor worked, r2 has the handler's own address. What a
 * caller saves is the thread's or 0: QEMU clears it, which a processor need not do. */
__attribute__((used)) void matrix_look_at_entry(const uint32_t found[13])
{
    static const char text[BH_LOG_TEXT_LEN_MAX] = {'e'};
    int hypervisor_worked = found[2] == ((uint32_t)timer0_handler & ~1u);
    for (uint32_t i = 0; i < 13; i++) {
        int is_cleared = found[i] == 0 && (i < 4 || i == 12);
        int is_its_own = found[i] == matrix_pattern[i] || (i == 2 && hypervisor_worked);
        results[1] |= (uint32_t)!(is_cleared || is_its_own) << i;
    }
    results[0] += (uint32_t)hypervisor_worked;
    matrix_entries_left = results[0] < ENTRIES_ENOUGH ? matrix_entries_left - 1u : 0;
    matrix_pattern_holds = matrix_entries_left != 0;
    bh_log_write(2, text, sizeof text); /* Something to do for the hypervisor. */
}

static void look_at_entries(uint32_t number)
{
    matrix_entries_left = number;
    start_timer(ENTRY_PERIOD, 0);
    matrix_wait_with_pattern();
    stop_timer();
}

static void flood_system(uint32_t exception)
{
    if (exception == 15) {
        SYST_RVR = 1;
        SYST_CSR = 7;
    }
    ICSR = exception == 15 ? ICSR_PENDSTSET : ICSR_PENDSVSET;
    for (;;) {
    }
}

/* Registers that a start-up code or an operating system takes for what they are after a reset, and what a row writes. */
static const struct {
    uint32_t address, reset, changed;
} own_registers[] = {
    {0xE000ED10u, 0, 0x12},                                     /* SCR */
    {0xE000ED14u, 0x201, 0x219},                                /* CCR */
    {0xE000ED18u, 0, 0xE0E0E0E0u},                              /* SHPR1 to 3 */
    {0xE000ED1Cu, 0, 0xE0E0E0E0u},
    {0xE000ED20u, 0, 0xE0E0E0E0u},
    {0xE000ED24u, 0, 1u << 16},                                 /* SHCSR */
    {0xE000ED88u, 0, 0xFu << 20},                               /* CPACR */
    {0xE000ED94u, 0, 4},                                        /* MPU_CTRL */
    {0xE000EF3Cu, 0, 0xFu << 22},                               /* FPDSCR */
    {0xE000E108u, 0, BIT(81)},                                  /* NVIC_ISER2 */
    {0xE000E208u, 0, BIT(82)},                                  /* NVIC_ISPR2 */
    {0xE000E400u + (TIMER_LINE & ~3u), 0, 0xE0u << 8 * (TIMER_LINE % 4u)}, /* NVIC_IPR */
    {0xE000E420u, 0, 0xE0E00000u},                              /* Lines 34 and 35. */
    {0xE000E450u, 0, 0xE0E0E0E0u},                              /* Lines 80 to 83. */
};
#define OWN_REGISTERS (sizeof own_registers / sizeof *own_registers)
#define MPU_REGIONS (REG(0xE000ED90u) >> 8 & 0xFFu)
#define MPU_RNR REG(0xE000ED98u)
#define MPU_RLAR REG(0xE000EDA0u)

static void leave_changed(void)
{
    for (uint32_t i = 0; i < OWN_REGISTERS; i++) {
        REG(own_registers[i].address) = own_registers[i].changed;
    }
    for (uint32_t region = 0; region < MPU_REGIONS; region++) {
        MPU_RNR = region;
        MPU_RLAR = BH_BOARD_RAM_BASE | 1u;
    }
    __asm volatile("udf #0");
}

int matrix_registers_changed(void)
{
    uint32_t changed = 0;
    for (uint32_t i = 0; i < OWN_REGISTERS; i++) {
        if (REG(own_registers[i].address) != own_registers[i].reset) {
            changed = own_registers[i].address;
        }
    }
    for (uint32_t region = 0; region < MPU_REGIONS; region++) {
        MPU_RNR = region;
        if (MPU_RLAR & 1u) {
            changed = 0xE000EDA0u;
        }
    }
    if (changed) {
        bh_console_write("left changed by the application before: ");
        bh_console_write_hex(changed);
        bh_console_write(" holds ");
        bh_console_write_hex(REG(changed));
        bh_console_write("\n");
    }
    return changed != 0;
}

static void commit_here(void)
{
    uint32_t operation = row[1], a = row[3];
    if (operation < BX) {
        access(operation, a);
    } else if (operation < MSP_INTERRUPT) {
        execute(operation, a);
    } else if (operation < REGISTER) {
        ruin(operation, a);
    } else {
        switch (operation) {
        case REGISTER: change_register(a, row[4], row[5]); break;
        case CALL: call(); break;
        case RACE: race(a, row[4], row[9]); break;
        case CALL_RETURNING_TO: matrix_call_returning_to(row[4], a); break;
        case LEAK_STACK: leak(); break;
        case NEST: nest(a); break;
        case FOUND_AT_ENTRY: look_at_entries(a); break;
        case FLOOD:
        case HANG:
            pend(a);
            for (;;) {
            }
        case FLOOD_SYSTEM: flood_system(a); break;
        case LEAVE_CHANGED: leave_changed(); break;
        default: break;
        }
    }
    done = 1;
}

int matrix_handler(uint32_t line)
{
    if (!row[1]) {
        return 0;
    }
    switch (row[1]) {
    case FLOOD: NVIC_ISPR(line) = BIT(line); break;
    case HANG:
        for (;;) {
        }
    case NEST: nested_level(); break;
    default:
        if (row[2] == HANDLER && line == LINE && !began) {
            began = 1;
            commit_here();
        }
        break;
    }
    return 1;
}

void software1_handler(void) { matrix_handler(81); }
void software3_handler(void) { matrix_handler(83); }
void uart1_receive_handler(void) { matrix_handler(34); }
void uart1_transmit_handler(void) { matrix_handler(35); }

/* Called by the naked handler of timer 0. */
void matrix_timer(void)
{
    TIMER(0xC) = 1;
    if (matrix_timer_action) {
        matrix_timer_action();
    } else if (row[1] == FLOOD || row[1] == HANG) {
        matrix_handler(TIMER_LINE);
    }
}

void pended_call_handler(void)
{
    if (row[1] == FLOOD_SYSTEM) {
        ICSR = ICSR_PENDSVSET;
    }
}

void systick_handler(void)
{
    if (row[1] == FLOOD_SYSTEM) {
        ICSR = ICSR_PENDSTSET;
    }
}

/* Gives the thread its privileges back. */
void supervisor_call_handler(void)
{
    if (row[1] == DEACTIVATE) {
        SHCSR = 0;
    }
    __asm volatile("mrs r0, control\n bic r0, r0, #1\n msr control, r0\n isb" : : : "r0");
}

static void run_in_thread(uint32_t place)
{
    if (place == UNPRIVILEGED) {
        __asm volatile("mrs r0, control\n orr r0, r0, #1\n msr control, r0\n isb" : : : "r0", "memory");
        commit_here();
        __asm volatile("svc #1" : : : "r0", "memory");
    } else if (place == PROCESS_STACK) {
        static uint64_t stack[256];
        matrix_on_process_stack(commit_here, stack + 256);
    } else {
        commit_here();
    }
}

static uint32_t digit(int c)
{
    return (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void read_row(void)
{
    uint32_t n = 0, value = 0;
    for (uint32_t i = 0; i < PARAMETERS_MAX; i++) {
        row[i] = 0;
    }
    for (;;) {
        int c = bh_console_read();
        if (c < 0) {
            continue;
        }
        if (c != ' ' && c != '\n') {
            value = value * 16 + digit(c);
            continue;
        }
        if (n < PARAMETERS_MAX) {
            row[n++] = value;
        }
        value = 0;
        if (c == '\n') {
            return;
        }
    }
}

static void say(const char *what)
{
    bh_console_write("row ");
    bh_console_write_hex(row[0]);
    bh_console_write(what);
}

static void float_on(void)
{
    CPACR |= 0xFu << 20;
    __asm volatile("dsb\n isb");
}

void matrix_row(void)
{
    read_row();
    say(" begins\n");
    float_on();
    began = done = results[0] = results[1] = deepest = 0;
    if (row[1] == CALL && !state_set_up(row[8])) {
        results[0] = results[1] = NOT_READY;
    } else if (row[2] == HANDLER) {
        /* This thread runs again when the handler has ended, in whichever way it did. */
        pend(LINE);
        while (!began) {
        }
    } else {
        run_in_thread(row[2]);
    }
    say(" returned ");
    bh_console_write_hex(results[0]);
    bh_console_write(" ");
    bh_console_write_hex(results[1]);
    bh_console_write("\n");
    row[1] = 0;
}
