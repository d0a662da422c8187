/* Rows of the attack matrix: one attack each, named by number and parameters on the console.
 *
 * `tests/world-isolation` reads this enumeration, so that no number is written down twice. */
#ifndef MATRIX_H
#define MATRIX_H

#include <stdint.h>

/* What a row does. `a` to `g` are its parameters. */
enum operation {
    /* Loads from a. */
    LDRB = 0x01,
    LDRH = 0x02,
    LDR = 0x03,
    LDRD = 0x04,
    LDM = 0x05,
    LDMDB = 0x06,
    LDREX = 0x07,
    LDREXB = 0x08,
    LDREXH = 0x09,
    LDA = 0x0A,
    LDAB = 0x0B,
    LDAEX = 0x0C,
    LDRT = 0x0D,
    LDRSH = 0x0E,
    VLDR = 0x0F,
    VLDM = 0x10,
    POP = 0x11,
    TBB = 0x12,
    LDR_PC = 0x13,
    /* Stores to a. */
    STRB = 0x20,
    STRH = 0x21,
    STR = 0x22,
    STRD = 0x23,
    STM = 0x24,
    STMDB = 0x25,
    STREX = 0x26,
    STL = 0x27,
    STLB = 0x28,
    STRT = 0x29,
    VSTR = 0x2A,
    VSTM = 0x2B,
    PUSH = 0x2C,
    STLEX = 0x2D,
    /* Executing at a. */
    BX = 0x40,
    BLX = 0x41,
    BX_ARM = 0x42,
    MOV_PC = 0x43,
    POP_PC = 0x44,
    BXNS = 0x45,
    BLXNS = 0x46,
    UNDEFINED = 0x47,
    BREAKPOINT = 0x48,
    SEMIHOSTING = 0x49,
    SUPERVISOR_CALL = 0x4A,
    TEST_TARGET_ALTERNATE = 0x4B,
    TEST_TARGET = 0x4C,
    /* A stack, limit or vector table at a, then what uses it. */
    MSP_INTERRUPT = 0x50,
    PSP_INTERRUPT = 0x51,
    MSP_SUPERVISOR_CALL = 0x52,
    MSPLIM_PUSH = 0x53,
    PSPLIM_PUSH = 0x54,
    VTOR_INTERRUPT = 0x55,
    VTOR_SUPERVISOR_CALL = 0x56,
    LAZY_FLOAT = 0x57,
    FLOAT_INTERRUPT = 0x58,
    /* An interrupt whose vector is a. */
    VECTOR = 0x59,
    /* An interrupt whose handler returns to a, with xPSR b. */
    FRAME = 0x5A,
    /* A frame with floating-point state is due, and floating point switched off. */
    FLOAT_FORBIDDEN = 0x5B,
    /* A supervisor call whose handler says that nothing is active, and returns. */
    DEACTIVATE = 0x5C,
    /* Says that exceptions a (bits of SHCSR) are active, none of which is, and lets an interrupt come. */
    PRETEND_ACTIVE = 0x5D,
    /* Floating point switched off and used. */
    FLOAT_OFF = 0x5E,
    /* Calls slot a for a while with floating-point registers in use, to be saved at once when an interrupt comes. */
    EAGER_FLOAT = 0x5F,
    /* Writes b to the register a, tells what it held before and after. */
    REGISTER = 0x60,
    /* In state f, calls slot a with b to e; tells the status, and which registers are not as they must be. */
    CALL = 0x70,
    /* In state g, calls slot b with c to f, a times, while a timer interrupts it and changes what it points to. */
    RACE = 0x71,
    /* Calls slot b with the return address a. */
    CALL_RETURNING_TO = 0x72,
    /* Leaves the secure world by a forged return from an interrupt that came in a gateway, a times. */
    LEAK_STACK = 0x80,
    /* Interrupts a gateway by a handler that enters a gateway, as deep as there are lines; for a milliseconds. */
    NEST = 0x81,
    /* Looks at what the handlers of at most a interrupts find in their registers; tells how many came while the hypervisor
     * worked, and which registers held what is neither the thread's nor 0. */
    FOUND_AT_ENTRY = 0x82,
    /* Line a pends itself from its own handler, for ever. */
    FLOOD = 0x90,
    /* Line a never leaves its handler. */
    HANG = 0x91,
    /* An exception number a of its own world pends itself from its own handler, for ever. */
    FLOOD_SYSTEM = 0x92,
    /* Changes every register of its own that the next application would find changed, and ends. */
    LEAVE_CHANGED = 0x93,
};

/* Stand for arguments of a call that only the application knows. */
enum own_argument {
    /* The handle of the socket that a state is about. */
    OWN_HANDLE = 0xB0B00001,
    /* A struct of version 1. */
    OWN_STRUCT = 0xB0B00002,
    /* The address and port of a peer. */
    OWN_ADDRESS = 0xB0B00003,
    /* A word that says how long the buffer is. */
    OWN_WORD = 0xB0B00004,
    /* A buffer of 64 bytes. */
    OWN_BUFFER = 0xB0B00005,
};

/* From where. */
enum place { THREAD = 0, HANDLER = 1, UNPRIVILEGED = 2, PROCESS_STACK = 3 };

/* Says which registers are not as they are after a reset; 0 if all are. */
int matrix_registers_changed(void);
/* Reads the rest of a row from the console and commits it. */
void matrix_row(void);
/* What line `line` does while a row asks for it; 0 if none does. */
int matrix_handler(uint32_t line);

#endif
