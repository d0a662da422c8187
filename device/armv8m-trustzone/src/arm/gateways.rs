//! Secure gateways: the only doors from the application into the hypervisor.
//!
//! One page, one gateway each 8 bytes: `SG`, then all interrupts are masked, then a branch. A jump to anything but an `SG` in
//! that page, or into any other secure address, is a SecureFault.
//!
//! While a gateway works, the application's interrupts wait. A handler that pre-empted one could return elsewhere, with an
//! EXC_RETURN of its own making, and leave the gateway's frames on the secure stack for ever; it could enter another
//! gateway on top, and so on as deep as it has priorities; and an operating system could switch tasks in it, so that one
//! task's gateway would go on with the frames of another's. What remains is the one place between `SG` and the next
//! instruction. Tasks that are caught there are told apart by their stacks: see [`super::entrance`].
//!
//! A gateway ends by an exception return onto the caller's own stack: see [`super::homecoming`].

/// Stack that a gateway must find before it begins: with interrupts masked it must not run into the limit.
const ROOM_BYTES: u32 = 1280;

// Registers in a gateway: r0-r3 arguments, lr return address of the application (bit 0 clear, as SG makes it), r12
// the caller's stack pointer, if it follows the calling convention. On return r0 is the status; r1-r3, r12 and the flags
// are scrubbed, so that nothing of the secure world leaks; r4-r11 are kept as the procedure call standard demands.
//
// On the stack: slot, which is the fifth argument of bulkhead_gateway, r4, r12, lr.
// The priority is the low byte of what is written to BASEPRI; the slot travels above it.
core::arch::global_asm!(
    r#"
    .macro gateway slot
    sg
    cpsid i
    b.n bulkhead_gateway_\slot
    .endm
    .macro entry slot
    .thumb_func
bulkhead_gateway_\slot:
    push {{r12, lr}}
    movw r12, #\slot * 256 + {non_secure}
    b.w bulkhead_gateway_common
    .endm

    .section .gateways, "ax"
    .global bulkhead_gateway_page
    .thumb_func
bulkhead_gateway_page:
    .irp slot, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63
    gateway \slot
    .endr
    @ Near, so that the branch is short. The application cannot jump here: there is no SG.
    .irp slot, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63
    entry \slot
    .endr

    .section .text.bulkhead_gateways, "ax"
    .thumb_func
bulkhead_gateway_common:
    msr basepri, r12                    @ The application's interrupts wait,
    cpsie i                             @ and the hypervisor's do not.
    sub sp, #8
    lsr r12, r12, #8
    strd r12, r4, [sp]
    mrs r4, ipsr
    cmp r4, #0
    bne 3f
    ldr r4, =bulkhead_gateway_stack
    msr psplim, r4                      @ All of the stack.
    ldr r4, =bulkhead_gateway_stack + {top} - 16
    cmp r4, sp
    bne 2f
1:  bl bulkhead_gateway
    ldr r4, [sp, #4]
    ldr lr, [sp, #12]
    add sp, #16
    svc #0                              @ Goes home: see homecoming.rs.

    movs r1, #0                         @ Its stack has no room for a frame: as a function returns.
    msr basepri, r1
    mov r2, r1
    mov r3, r1
    mov r12, r1
    msr apsr_nzcvq, r1
    cmp lr, #0xFE000000                 @ EXC_RETURN or FNC_RETURN: BXNS would unstack from a secure stack.
    it hs
    movhs lr, #0xF0000000               @ Never executable: the application faults, in its own world.
    bxns lr

2:  push {{r0-r3}}                      @ Somebody was caught at the entrance: is this who it seems?
    push {{r5-r12}}
    mov r0, sp
    bl bulkhead_who_enters
    mov r4, r0
    pop {{r5-r12}}
    pop {{r0-r3}}
    cmp r4, #0
    bne 1b
    b 4f
3:  mrs r12, msplim                     @ Gateways that handlers enter have a share of the main stack.
    add r12, #{room}
    mov r4, sp
    cmp r4, r12
    bhs 1b                              @ Else frames were left on it.
4:  ldr r4, [sp, #4]
    add sp, #16
    movs r12, #0
    msr basepri, r12
    msr apsr_nzcvq, r12
    mov lr, #0xF0000000
    bxns lr
    .pool
    "#,
    non_secure = const super::partition::NON_SECURE_PRIORITY,
    room = const ROOM_BYTES,
    top = const super::switch::GATEWAY_STACK_BYTES,
);

/// Gateways in the page. Slots without a call answer `BH_STATUS_CALL_UNKNOWN`, so that an application built for a
/// newer hypervisor learns it instead of faulting.
pub const GATEWAY_COUNT: u32 = 64;

const _: () = assert!(
    match bulkhead_syscall_abi::SYSTEM_CALLS {
        [.., last] => last.slot < GATEWAY_COUNT,
        [] => true,
    },
    "add gateways"
);
const _: () = assert!(bulkhead_syscall_abi::GATEWAY_STRIDE_BYTES == 8, "SG and B.W are four bytes each");
