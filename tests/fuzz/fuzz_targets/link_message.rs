//! Plaintext frames in both directions; what decodes is encoded and decoded again.
#![no_main]

use bulkhead_link_protocol::{DeviceMessage, Frame, PLAINTEXT_LEN_MAX, ServerMessage, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|plaintext: &[u8]| {
    let mut out = [0; PLAINTEXT_LEN_MAX];
    if let Ok(Frame::Known(message)) = decode::<DeviceMessage<'_>>(plaintext) {
        let len = encode(&message, &mut out).expect("shortest forms are no longer than what was read");
        assert_eq!(decode::<DeviceMessage<'_>>(&out[..len]), Ok(Frame::Known(message)));
    }
    if let Ok(Frame::Known(message)) = decode::<ServerMessage<'_>>(plaintext) {
        let len = encode(&message, &mut out).expect("shortest forms are no longer than what was read");
        assert_eq!(decode::<ServerMessage<'_>>(&out[..len]), Ok(Frame::Known(message)));
    }
});
