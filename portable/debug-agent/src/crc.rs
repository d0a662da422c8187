//! The checksum of GDB's `compare-sections`.

const POLYNOMIAL: u32 = 0x04C1_1DB7;

/// Continues a checksum, which begins with `u32::MAX`.
pub(crate) fn crc(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            if crc >> 31 == 1 { crc << 1 ^ POLYNOMIAL } else { crc << 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_the_published_check_value() {
        // CRC-32/MPEG-2: the same polynomial and start, no reflection, no final inversion.
        assert_eq!(super::crc(u32::MAX, b"123456789"), 0x0376_E6E7);
    }
}
