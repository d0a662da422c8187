//! CRC-32 (ISO-HDLC), for records that power may tear; never for trust.
//!
//! Bit by bit: records are short and read once, so a table is not worth its flash.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

/// The reflected polynomial of ISO-HDLC.
const POLYNOMIAL: u32 = 0xEDB8_8320;

/// CRC of `bytes`, carried on from `seed`; the first call starts with 0.
pub fn crc32(seed: u32, bytes: &[u8]) -> u32 {
    let mut crc = !seed;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn check_value_of_the_catalogue_is_met() {
        assert_eq!(super::crc32(0, b"123456789"), 0xCBF4_3926);
        assert_eq!(super::crc32(super::crc32(0, b"1234"), b"56789"), 0xCBF4_3926);
    }
}
