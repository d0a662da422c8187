//! Random bytes for a board without a random source: a secret seed from the factory and a counter in flash.
//!
//! Each boot takes the next counter value and programs it before a byte of its stream is used, so that no two boots
//! draw the same stream, whatever power does.

use bulkhead_nor_flash::{FlashAddress, FlashError, NorFlash};
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use chacha20::{ChaCha20, Nonce};
use sha2::{Digest, Sha256};

/// A record: counter, its complement. One 16-byte unit.
const RECORD_LEN: usize = 16;

/// Why there is no entropy; the device then stays offline rather than draw predictable keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EntropyError {
    /// The counter could not be programmed, even into a freshly erased page.
    Flash(FlashError),
    /// The part given is not two erase blocks of 16-byte units.
    Layout,
}

/// The stream of one boot: ChaCha20's, by the code that also encrypts the link. Its end, after 256 GiB, is a panic and
/// with it a restart, which draws another stream.
pub struct SeededEntropy(ChaCha20);

impl SeededEntropy {
    /// Takes the next counter value from the two erase blocks at `first` and starts its stream.
    ///
    /// # Errors
    /// [`EntropyError`]: the memory or the layout failed us.
    pub fn next_boot(
        seed: &[u8; 32],
        flash: &mut impl NorFlash,
        first: FlashAddress,
    ) -> Result<Self, EntropyError> {
        let counter = take_counter(flash, first)?;
        let mut hash = Sha256::new();
        hash.update(b"bulkhead/entropy/1");
        hash.update(seed);
        hash.update(counter.to_le_bytes());
        Ok(Self(ChaCha20::new(&hash.finalize(), &Nonce::default())))
    }
}

impl bulkhead_hardware_ports::Entropy for SeededEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
        self.0.apply_keystream(out);
    }
}

fn take_counter(flash: &mut impl NorFlash, first: FlashAddress) -> Result<u64, EntropyError> {
    let g = flash.geometry();
    if g.program_unit as usize > RECORD_LEN || !g.erase_size.is_multiple_of(16) {
        return Err(EntropyError::Layout);
    }
    let second = first.plus(g.erase_size).ok_or(EntropyError::Layout)?;
    let (mut highest, mut holder) = (0, first);
    for block in [first, second] {
        for at in records(block, g.erase_size) {
            if let Some(counter) = read_record(flash, at)
                && counter > highest
            {
                (highest, holder) = (counter, block);
            }
        }
    }
    let next = highest.saturating_add(1);
    // Behind the highest there is room unless the block is full or its next cells are torn: try each, then the
    // other block, freshly erased.
    for at in records(holder, g.erase_size) {
        if is_erased(flash, at) && write_record(flash, at, next).is_ok() {
            return Ok(next);
        }
    }
    let other = if holder == first { second } else { first };
    flash.erase(other).map_err(EntropyError::Flash)?;
    write_record(flash, other, next).map_err(EntropyError::Flash)?;
    Ok(next)
}

fn records(block: FlashAddress, erase_size: u32) -> impl Iterator<Item = FlashAddress> {
    (0..erase_size / 16).filter_map(move |index| block.plus(index * 16))
}

fn read_record(flash: &mut impl NorFlash, at: FlashAddress) -> Option<u64> {
    let mut record = [0; RECORD_LEN];
    flash.read(at, &mut record).ok()?;
    let (counter, complement) = record.split_at(8);
    let counter = u64::from_le_bytes(counter.try_into().ok()?);
    let complement = u64::from_le_bytes(complement.try_into().ok()?);
    (counter == !complement).then_some(counter)
}

fn is_erased(flash: &mut impl NorFlash, at: FlashAddress) -> bool {
    let erased = flash.geometry().erased_byte;
    let mut record = [0; RECORD_LEN];
    flash.read(at, &mut record).is_ok() && record.iter().all(|b| *b == erased)
}

fn write_record(flash: &mut impl NorFlash, at: FlashAddress, counter: u64) -> Result<(), FlashError> {
    let mut record = [0; RECORD_LEN];
    let (low, high) = record.split_at_mut(8);
    low.copy_from_slice(&counter.to_le_bytes());
    high.copy_from_slice(&(!counter).to_le_bytes());
    flash.program(at, &record)?;
    if read_record(flash, at) == Some(counter) { Ok(()) } else { Err(FlashError::HardwareFault) }
}

#[cfg(test)]
mod tests {
    use bulkhead_hardware_ports::Entropy;

    use super::*;

    #[test]
    fn a_stream_is_chacha20_of_its_seed_however_it_is_drawn() {
        let stream = || SeededEntropy(ChaCha20::new(&[0; 32].into(), &Nonce::default()));
        let (mut whole, mut pieces) = ([0xA5; 150], [0xA5; 150]);
        stream().fill(&mut whole);
        let mut drawn = stream();
        for piece in pieces.chunks_mut(7) {
            drawn.fill(piece);
        }
        // RFC 8439, A.1, test vector 1.
        assert_eq!(whole[..8], [0x76, 0xB8, 0xE0, 0xAD, 0xA0, 0xF1, 0x3D, 0x90]);
        assert_eq!(whole, pieces);
    }
}
