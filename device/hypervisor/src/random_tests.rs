#![expect(clippy::indexing_slicing, reason = "tests: a panic is their failure")]

use core::cell::{Cell, RefCell};

use super::*;
use crate::mailbox::Mailbox;

struct Access(RefCell<Mailbox>);

impl MailboxAccess for Access {
    fn with<R>(&self, work: impl FnOnce(&mut Mailbox) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }
}

/// Takes what is written to address 0, refuses all else, and counts how often it was asked.
struct Sink(RefCell<std::vec::Vec<u8>>);

impl ApplicationMemory for Sink {
    fn copy_in(&self, _: u32, _: &mut [u8]) -> bool {
        false
    }
    fn copy_out(&self, address: u32, bytes: &[u8]) -> bool {
        self.0.borrow_mut().extend(bytes.iter().filter(|_| address == 0));
        address == 0
    }
    fn may_write(&self, address: u32, _: u32) -> bool {
        address == 0
    }
    fn owns_line(&self, _: u32) -> bool {
        false
    }
}

/// Counts what is drawn.
struct Zeros(Cell<usize>);

impl Entropy for Zeros {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.set(self.0.get() + out.len());
        out.fill(0);
    }
}

fn world() -> (Generator, Access, Sink) {
    let generator = Generator::new(&mut Zeros(Cell::new(0)));
    (generator, Access(RefCell::new(Mailbox::new())), Sink(RefCell::new(std::vec::Vec::new())))
}

#[test]
fn a_key_gives_the_next_key_and_one_piece() {
    let mut generator = Generator([0; KEY_LEN]);
    let piece = generator.draw();
    // RFC 8439, A.1, test vectors 1 and 2: the first two blocks of the stream of a key of zeros.
    assert_eq!(generator.0[..8], [0x76, 0xB8, 0xE0, 0xAD, 0xA0, 0xF1, 0x3D, 0x90]);
    assert_eq!(piece[..8], [0xDA, 0x41, 0x59, 0x7C, 0x51, 0x57, 0x48, 0x8D]);
    assert_eq!(piece[32..40], [0x9F, 0x07, 0xE7, 0xBE, 0x55, 0x51, 0x38, 0x7A]);
    assert_ne!(generator.draw(), piece);
}

#[test]
fn the_hypervisors_generator_is_drawn_from_once_however_much_the_application_takes() {
    let mut entropy = Zeros(Cell::new(0));
    let mut generator = Generator::new(&mut entropy);
    let (_, mailbox, memory) = world();
    for _ in 0..100 {
        generator.serve(&mailbox);
        assert_eq!(read(0, RANDOM_LEN_MAX, &memory, &mailbox), Status::Ok);
    }
    assert_eq!(entropy.0.get(), KEY_LEN);
}

#[test]
fn no_byte_is_handed_out_twice_and_none_that_was_is_kept() {
    let (mut generator, mailbox, memory) = world();
    let mut expected = Generator([0; KEY_LEN]);
    for len in [1, 7, RANDOM_LEN_MAX, 64, RANDOM_LEN_MAX, 250] {
        generator.serve(&mailbox);
        assert_eq!(read(0, len, &memory, &mailbox), Status::Ok);
    }
    mailbox.with(|m| assert!(m.random.bytes[m.random.ready..].iter().all(|byte| *byte == 0)));
    let mut told = memory.0.borrow().clone();
    mailbox.with(|m| told.extend(&m.random.bytes[..m.random.ready]));
    let mut drawn: std::vec::Vec<u8> = (0..told.len() / PIECE_LEN).flat_map(|_| expected.draw()).collect();
    drawn.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, drawn, "handed out or ready: each byte that was drawn, once");
}

#[test]
fn what_is_not_ready_is_busy_and_a_pointer_is_refused_either_way() {
    let (mut generator, mailbox, memory) = world();
    for (address, status) in [(0, Status::Busy), (8, Status::PointerRefused)] {
        assert_eq!(read(address, 1, &memory, &mailbox), status, "nothing was drawn yet");
    }
    assert!(mailbox.with(|m| m.waits()), "the executor is asked for more");
    generator.serve(&mailbox);
    assert!(!mailbox.with(|m| m.waits()));
    let ready = mailbox.with(|m| m.random.ready);
    assert_eq!(read(8, RANDOM_LEN_MAX, &memory, &mailbox), Status::PointerRefused);
    assert_eq!(mailbox.with(|m| m.random.ready), ready, "a refused pointer loses nothing");
    for len in [0, RANDOM_LEN_MAX + 1, u32::MAX] {
        assert_eq!(read(0, len, &memory, &mailbox), Status::ArgumentRefused);
    }
    assert_eq!(read(0, RANDOM_LEN_MAX, &memory, &mailbox), Status::Ok);
    assert_eq!(read(0, RANDOM_LEN_MAX, &memory, &mailbox), Status::Ok, "twice the longest is ready");
}
