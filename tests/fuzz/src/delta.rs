//! What the decoder of patches never does, whatever the patch is.

use bulkhead_delta::{Decoder, Limits, PatchIo, Progress, Refused};

/// Most bytes read for each byte made, and for an image of none.
const READS_PER_BYTE_MAX: u64 = 512;
const READS_ALWAYS: u64 = 64 * 1024;

struct Guarded<'a> {
    patch: &'a [u8],
    old: &'a [u8],
    new: Vec<u8>,
    read: u64,
}

impl PatchIo for Guarded<'_> {
    type Error = ();

    fn patch(&mut self, at: u32, out: &mut [u8]) -> Result<(), ()> {
        self.read += out.len() as u64;
        out.copy_from_slice(&self.patch[at as usize..at as usize + out.len()]);
        Ok(())
    }

    fn old(&mut self, at: u32, out: &mut [u8]) -> Result<(), ()> {
        self.read += out.len() as u64;
        out.copy_from_slice(&self.old[at as usize..at as usize + out.len()]);
        Ok(())
    }

    fn output(&mut self, at: u32, out: &mut [u8]) -> Result<(), ()> {
        self.read += out.len() as u64;
        out.copy_from_slice(&self.new[at as usize..at as usize + out.len()]);
        Ok(())
    }
}

/// Decodes; panics where the decoder reads what does not exist, or reads without end.
pub fn check_patch(old: &[u8], patch: &[u8], new_len: u32) {
    let mut io = Guarded { patch, old, new: Vec::new(), read: 0 };
    let _ = decode(&mut io, new_len);
    let most = READS_ALWAYS + READS_PER_BYTE_MAX * u64::from(new_len);
    assert!(io.read <= most, "{} bytes read for an image of {new_len}", io.read);
}

fn decode(io: &mut Guarded<'_>, new_len: u32) -> Result<(), Refused<()>> {
    let mut decoder = Box::new(Decoder::new());
    let (patch_len, old_len) = (io.patch.len() as u32, io.old.len() as u32);
    decoder.open(io, Limits { patch_len, old_len, new_len })?;
    let mut calls = 0;
    while decoder.prepare(io, 1)? == Progress::More {
        calls += 1;
        assert!(calls <= new_len / 4 + 64, "an endless copy list");
    }
    while io.new.len() < new_len as usize {
        let mut piece = vec![0; 777.min(new_len as usize - io.new.len())];
        decoder.decode(io, &mut piece)?;
        io.new.extend(piece);
    }
    Ok(())
}
