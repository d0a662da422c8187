//! What the encoder makes, the decoder turns back into the new image: in any pieces, from any segment.

#![expect(clippy::cast_possible_truncation, reason = "the images of these tests are small")]
#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::convert::Infallible;

use bulkhead_delta::{
    Decoder, Effort, EncodeOptions, Limits, PatchIo, Progress, SegmentLen, decode_all, encode,
};

/// A generator of numbers with a printed seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }

    fn bytes(&mut self, len: usize, below: usize) -> Vec<u8> {
        (0..len).map(|_| self.next(below) as u8).collect()
    }

    /// Something like code: calls, moves, pointers, repeated pieces.
    fn firmware(&mut self, len: usize) -> Vec<u8> {
        let mut image = Vec::new();
        while image.len() < len {
            match self.next(6) {
                0 => image.extend([
                    0x00,
                    0xF0 | self.next(4) as u8,
                    self.next(256) as u8,
                    0xF8 | self.next(4) as u8,
                ]),
                1 => image.extend((0x0800_0000 + self.next(len) as u32).to_le_bytes()),
                2 => image.extend((0x2000_0000 + self.next(4096) as u32).to_le_bytes()),
                3 => image.extend([0x40 + self.next(16) as u8, 0xF2, self.next(256) as u8, 0x03]),
                4 => image.extend([0xC0, 0xF2, self.next(4) as u8, 0x03]),
                _ => {
                    let count = 2 * self.next(20);
                    let piece = self.bytes(count, 97);
                    image.extend(piece);
                }
            }
        }
        image.truncate(len);
        image
    }

    /// The image with some bytes changed, some moved, some put in and taken out.
    fn edited(&mut self, image: &[u8]) -> Vec<u8> {
        let mut new = image.to_vec();
        for _ in 0..self.next(6) {
            let at = self.next(new.len() + 1);
            match self.next(3) {
                0 => {
                    let count = self.next(40);
                    let piece = self.bytes(count, 256);
                    new.splice(at..at, piece);
                }
                1 => {
                    let end = (at + self.next(40)).min(new.len());
                    new.drain(at..end);
                }
                _ => {
                    let end = (at + self.next(500)).min(new.len());
                    let piece: Vec<u8> = new.drain(at..end).collect();
                    let to = self.next(new.len() + 1);
                    new.splice(to..to, piece);
                }
            }
        }
        new
    }
}

struct Memory<'a> {
    patch: &'a [u8],
    old: &'a [u8],
    new: &'a [u8],
    /// Bytes of `new` that may be read.
    known: usize,
}

impl PatchIo for Memory<'_> {
    type Error = Infallible;

    fn patch(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.patch[at as usize..][..out.len()]);
        Ok(())
    }

    fn old(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.old[at as usize..][..out.len()]);
        Ok(())
    }

    fn output(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
        assert!(at as usize + out.len() <= self.known, "the decoder reads what it has not returned");
        out.copy_from_slice(&self.new[at as usize..][..out.len()]);
        Ok(())
    }
}

fn ready<'a>(decoder: &mut Decoder, old: &'a [u8], new: &'a [u8], patch: &'a [u8], slice: u32) -> Memory<'a> {
    let mut io = Memory { patch, old, new, known: 0 };
    let limits =
        Limits { patch_len: patch.len() as u32, old_len: old.len() as u32, new_len: new.len() as u32 };
    decoder.open(&mut io, limits).unwrap();
    while decoder.prepare(&mut io, slice).unwrap() == Progress::More {}
    io
}

fn quick(segment_len: SegmentLen) -> EncodeOptions {
    EncodeOptions { segment_len, effort: Effort::Quick, ..EncodeOptions::default() }
}

#[test]
fn patches_of_random_and_structured_images_decode_to_the_new_image() {
    for seed in 0..120 {
        let numbers = &mut Numbers(seed);
        let len = [0, 1, 3, 64, 1000, 9000][seed as usize % 6];
        let below = [2, 256][numbers.next(2)];
        let old = if numbers.next(2) == 0 { numbers.firmware(len) } else { numbers.bytes(len, below) };
        let new = if numbers.next(4) == 0 { numbers.firmware(len / 2) } else { numbers.edited(&old) };
        let patch = encode(&old, &new, &EncodeOptions::default());
        assert_eq!(decode_all(&old, &patch, new.len() as u32).unwrap(), new, "seed {seed}");
        assert_eq!(patch, encode(&old, &new, &EncodeOptions::default()), "seed {seed}: not deterministic");
    }
}

#[test]
fn patches_of_any_image_against_nothing_are_hardly_longer_than_the_image() {
    for seed in 0..20 {
        let numbers = &mut Numbers(seed);
        let len = numbers.next(5000);
        let new = numbers.bytes(len, 256);
        let patch = encode(&[], &new, &quick(SegmentLen::Kib64));
        assert!(patch.len() <= len + len / 20 + 16, "seed {seed}: {len} became {}", patch.len());
    }
}

#[test]
fn decoding_in_any_pieces_gives_the_same_bytes() {
    let numbers = &mut Numbers(7);
    let old = numbers.firmware(90_000);
    let new = numbers.edited(&old);
    let patch = encode(&old, &new, &quick(SegmentLen::Kib32));
    for piece_max in [1, 2, 3, 7, 64, 1000, 40_000] {
        let mut decoder = Decoder::new();
        let mut io = ready(&mut decoder, &old, &new, &patch, 3);
        let mut at = 0;
        while at < new.len() {
            let mut piece = vec![0; (1 + numbers.next(piece_max)).min(new.len() - at)];
            decoder.decode(&mut io, &mut piece).unwrap();
            assert_eq!(piece, new[at..at + piece.len()], "at {at} in pieces of up to {piece_max}");
            at += piece.len();
            io.known = at;
        }
    }
}

#[test]
fn any_segment_decodes_in_any_order_without_the_ones_before() {
    let numbers = &mut Numbers(11);
    let old = numbers.firmware(150_000);
    let mut new = numbers.edited(&old);
    let again = new[..30_000].to_vec();
    new.extend(again);
    let patch = encode(&old, &new, &quick(SegmentLen::Kib32));
    let mut decoder = Decoder::new();
    let mut io = ready(&mut decoder, &old, &new, &patch, 100);
    for _ in 0..20 {
        let wanted = numbers.next(new.len());
        let start = decoder.seek(&mut io, wanted as u32).unwrap() as usize;
        assert_eq!(start, wanted / 32768 * 32768);
        let len = (1 + numbers.next(70_000)).min(new.len() - start);
        let mut bytes = vec![0; len];
        io.known = start;
        decoder.decode(&mut io, &mut bytes).unwrap();
        assert_eq!(bytes, new[start..start + len], "{len} bytes from {start}");
    }
}

#[test]
fn update_in_place_never_reads_what_is_overwritten() {
    struct InPlace<'a>(Memory<'a>, usize, usize);
    impl PatchIo for InPlace<'_> {
        type Error = Infallible;
        fn patch(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
            self.0.patch(at, out)
        }
        fn old(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
            assert!(at as usize + self.2 >= self.1, "old bytes at {at} are gone when {} is written", self.1);
            self.0.old(at, out)
        }
        fn output(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
            self.0.output(at, out)
        }
    }
    let numbers = &mut Numbers(13);
    let old = numbers.firmware(120_000);
    // The halves change places: without a bound, the first half would be copied from far behind.
    let new = [&old[60_000..], &old[..60_000]].concat();
    let window = 8192;
    let options = EncodeOptions { old_window_len: Some(window as u32), ..quick(SegmentLen::Kib32) };
    let bounded = encode(&old, &new, &options);
    let free = encode(&old, &new, &quick(SegmentLen::Kib32));
    assert!(bounded.len() > free.len(), "the bound costs something: {} {}", bounded.len(), free.len());
    let mut decoder = Decoder::new();
    let memory = ready(&mut decoder, &old, &new, &bounded, 100);
    let mut io = InPlace(memory, 0, window);
    let mut image = Vec::new();
    for piece in new.chunks(4096) {
        let mut out = vec![0; piece.len()];
        io.1 = image.len() / 32768 * 32768;
        decoder.decode(&mut io, &mut out).unwrap();
        image.extend(out);
        io.0.known = image.len();
    }
    assert!(image == new);
}
