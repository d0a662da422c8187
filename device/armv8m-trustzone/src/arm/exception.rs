//! What the processor pushes when it takes an exception, and what it is told to return to.
//!
//! # Source
//! DDI 0553, B3.19 (EXC_RETURN) and B3.20 (stack frames).

/// EXC_RETURN: a thread was interrupted, and not a handler.
pub(super) const EXC_RETURN_THREAD: u32 = 1 << 3;
/// EXC_RETURN: the frame has no floating-point state, nor room for it.
pub(super) const EXC_RETURN_NO_FLOAT: u32 = 1 << 4;
/// EXC_RETURN: the frame lies on a stack of the Secure state.
pub(super) const EXC_RETURN_SECURE_STACK: u32 = 1 << 6;

/// A frame without floating-point state: r0-r3, r12, lr, pc, xPSR.
pub(super) const FRAME_BYTES: u32 = 32;
/// With it, or with room for it: s0-s15, FPSCR and a word that is reserved.
pub(super) const FLOAT_FRAME_BYTES: u32 = 104;
/// What a Non-secure exception adds on top of a Secure frame: a signature, a word that is reserved, r4-r11.
pub(super) const CALLEE_BYTES: u32 = 40;
/// The signature; bit 0: no floating-point state.
pub(super) const INTEGRITY_SIGNATURE: u32 = 0xFEFA_125B;
/// The signature of a frame with floating-point state.
pub(super) const INTEGRITY_SIGNATURE_FLOAT: u32 = 0xFEFA_125A;

/// xPSR: number of the exception that is active.
pub(super) const XPSR_EXCEPTION: u32 = 0x1FF;
/// xPSR of a frame: a word lies between frame and stack, so that the frame is aligned to 8 bytes.
pub(super) const XPSR_ALIGNED: u32 = 1 << 9;
/// xPSR: Thumb state.
pub(super) const XPSR_THUMB: u32 = 1 << 24;
