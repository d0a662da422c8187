//! Secure gateways: the only doors from the application into the hypervisor.
//!
//! One page, one gateway each 8 bytes: `SG`, then a branch. A jump to anything but an `SG` in that page, or into
//! any other secure address, is a SecureFault.
//!
//! The return address is the application's word. `SG` only clears its bit 0, and `BXNS` honours EXC_RETURN and
//! FNC_RETURN (DDI 0553): with one of those the processor would take a frame off a secure stack that holds none.
//!
//! While a gateway works, the application's interrupts wait. A handler that pre-empted one could return elsewhere, with an
//! EXC_RETURN of its own making, and leave the gateway's frames on the secure stack for ever; it could enter another
//! gateway on top, and so on as deep as it has priorities; and an operating system could switch tasks in it, so that one
//! task's gateway would go on with the frames of another's. For the few instructions before `BASEPRI` is set all that
//! remains possible: what is left there is bounded by the limits of the stacks, and by the room that is asked for here
//! before anything is begun. Who has used it up is stopped.

/// Stack that a gateway must find before it begins: with interrupts masked it must not run into the limit.
const ROOM_BYTES: u32 = 1280;

// Registers in a gateway: r0-r3 arguments, r12 slot, lr return address of the application (bit 0 clear, as SG
// makes it). On return r0 is the status; r1-r3, r12 and the flags are scrubbed, so that nothing of the secure
// world leaks; r4-r11 are kept by the callee as the procedure call standard demands.
core::arch::global_asm!(
    r#"
    .macro gateway slot
    sg
    b.w bulkhead_gateway_\slot
    .endm
    .macro entry slot
    .thumb_func
bulkhead_gateway_\slot:
    mov r12, #\slot
    b bulkhead_gateway_common
    .endm

    .section .gateways, "ax"
    .global bulkhead_gateway_page
    .thumb_func
bulkhead_gateway_page:
    .irp slot, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63
    gateway \slot
    .endr

    .section .text.bulkhead_gateways, "ax"
    .irp slot, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63
    entry \slot
    .endr
    .thumb_func
bulkhead_gateway_common:
    cmp lr, #0xFE000000                 @ EXC_RETURN or FNC_RETURN: BXNS would unstack from a secure stack.
    bhs 1f
    push {{r4, lr}}
    mov r4, #{non_secure}
    msr basepri, r4                     @ The application's interrupts wait.
    sub sp, #8
    str r12, [sp]                       @ Fifth argument of bulkhead_gateway.
    mrs r12, ipsr
    cmp r12, #0
    ite eq
    mrseq r12, psplim                   @ Its thread's gateways have a stack of their own,
    mrsne r12, msplim                   @ its handlers' a share of the main one.
    add r12, #{room}
    mov r4, sp
    cmp r4, r12
    blo 2f
    bl bulkhead_gateway
    add sp, #8
    movs r1, #0
    msr basepri, r1
    pop {{r4, lr}}
    mov r2, r1
    mov r3, r1
    mov r12, r1
    msr apsr_nzcvq, r1
    bxns lr
2:  add sp, #8                          @ Frames were left on this stack.
    movs r12, #0
    msr basepri, r12
    pop {{r4, lr}}
    msr apsr_nzcvq, r12
1:  mov lr, #0xF0000000                 @ Never executable: the application faults, in its own world.
    bxns lr
    "#,
    non_secure = const super::partition::NON_SECURE_PRIORITY,
    room = const ROOM_BYTES,
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
