use super::*;
use crate::calls::witness::dispatch;
use crate::mailbox::Mailbox;
use bulkhead_flash_simulator::{Power, SimulatedFlash};
use bulkhead_syscall_abi::slot;
use core::cell::RefCell;

const SECTOR: u32 = 512;
/// Two sectors behind one that is not the application's, as area 3.
const AREA: StorageArea = StorageArea { id: 3, start: FlashAddress(SECTOR), length: 2 * SECTOR };

/// 1 KiB of application memory at 0.
struct World {
    memory: RefCell<[u8; 1024]>,
    mailbox: RefCell<Mailbox>,
    flash: RefCell<SimulatedFlash>,
}

impl ApplicationMemory for World {
    fn copy_in(&self, address: u32, out: &mut [u8]) -> bool {
        let start = address as usize;
        self.memory.borrow().get(start..start + out.len()).is_some_and(|from| {
            out.copy_from_slice(from);
            true
        })
    }
    fn copy_out(&self, address: u32, bytes: &[u8]) -> bool {
        let start = address as usize;
        self.memory.borrow_mut().get_mut(start..start + bytes.len()).is_some_and(|to| {
            to.copy_from_slice(bytes);
            true
        })
    }
    fn owns_line(&self, _: u32) -> bool {
        false
    }
}

impl MailboxAccess for World {
    fn with<R>(&self, work: impl FnOnce(&mut Mailbox) -> R) -> R {
        work(&mut self.mailbox.borrow_mut())
    }
}

impl World {
    fn new() -> Self {
        let mut mailbox = Mailbox::new();
        mailbox.storage.open([AREA].into_iter(), SECTOR);
        let flash = SimulatedFlash::external(4 * SECTOR, SECTOR, &Power::new());
        Self { memory: RefCell::new([0; 1024]), mailbox: RefCell::new(mailbox), flash: RefCell::new(flash) }
    }

    fn call(&self, slot: u32, arguments: [u32; 4]) -> Status {
        dispatch(slot, arguments, || 0, self, self)
    }

    /// One slice of the executor.
    fn serve(&self) {
        let Some((operation, mut bytes)) = self.with(|m| m.storage.waiting()) else { return };
        let status = perform(&mut *self.flash.borrow_mut(), operation, &mut bytes);
        self.with(|m| m.storage.done(operation, status, &bytes));
    }

    /// Begins, lets the executor work, and ends.
    fn whole(&self, slot: u32, arguments: [u32; 4]) -> Status {
        match self.call(slot, arguments) {
            Status::Ok => {
                self.serve();
                self.call(slot::STORAGE_RESULT_READ, [512, 256, 0, 0])
            }
            refused => refused,
        }
    }

    fn raw(&self) -> Vec<u8> {
        self.flash.borrow().cells().raw()
    }
}

extern crate std;
use std::vec::Vec;

#[test]
fn what_was_written_is_read_back_and_an_erase_clears_it() {
    let world = World::new();
    assert!(world.copy_out(0, b"seven lamps"));
    assert_eq!(world.whole(slot::STORAGE_WRITE, [3, 508, 0, 11]), Status::Ok, "across two sectors");
    assert_eq!(world.raw().get(1020..1031), Some(&b"seven lamps"[..]));
    assert_eq!(world.whole(slot::STORAGE_READ, [3, 508, 11, 0]), Status::Ok);
    assert_eq!(world.memory.borrow().get(512..523), Some(&b"seven lamps"[..]));
    assert_eq!(world.whole(slot::STORAGE_WRITE, [3, 508, 100, 4]), Status::Ok, "zeros fall from anything");
    assert_eq!(world.whole(slot::STORAGE_WRITE, [3, 508, 0, 4]), Status::NotErased);
    assert_eq!(world.whole(slot::STORAGE_ERASE, [3, 0, 0, 0]), Status::Ok);
    assert!(world.raw().get(512..1024).is_some_and(|sector| sector.iter().all(|byte| *byte == 0xFF)));
    assert_eq!(world.raw().get(1024..1031), Some(&b"n lamps"[..]), "the next sector stays");
}

#[test]
fn nothing_outside_of_the_area_can_be_named() {
    let world = World::new();
    let before = world.raw();
    let refused = Status::ArgumentRefused;
    for [area, offset, len] in [
        [3, 1023, 2],
        [3, 1024, 1],
        [3, u32::MAX, 1],
        [3, u32::MAX - 511, 256],
        [3, 0, 0],
        [3, 0, 257],
        [3, 0, u32::MAX],
        [2, 0, 1],
        [0, 0, 1],
        [u32::MAX, 0, 1],
    ] {
        assert_eq!(world.call(slot::STORAGE_READ, [area, offset, len, 0]), refused, "{area} {offset} {len}");
        assert_eq!(world.call(slot::STORAGE_WRITE, [area, offset, 0, len]), refused);
    }
    for [area, offset] in [[3, 1], [3, 511], [3, 1024], [3, 0u32.wrapping_sub(512)], [2, 0]] {
        assert_eq!(world.call(slot::STORAGE_ERASE, [area, offset, 0, 0]), refused, "{area} {offset}");
    }
    world.serve();
    assert_eq!(world.raw(), before);
    assert_eq!(world.call(slot::STORAGE_RESULT_READ, [0, 0, 0, 0]), Status::NothingPending);
}

#[test]
fn one_operation_at_a_time_and_its_result_waits_for_a_buffer_that_takes_it() {
    let world = World::new();
    assert_eq!(world.call(slot::STORAGE_READ, [3, 0, 16, 0]), Status::Ok);
    assert_eq!(world.call(slot::STORAGE_ERASE, [3, 0, 0, 0]), Status::Busy);
    assert_eq!(world.call(slot::STORAGE_RESULT_READ, [0, 16, 0, 0]), Status::Busy);
    world.serve();
    assert_eq!(world.call(slot::STORAGE_READ, [3, 0, 16, 0]), Status::Busy, "the result was not fetched");
    assert_eq!(world.call(slot::STORAGE_RESULT_READ, [0, 15, 0, 0]), Status::BufferTooSmall);
    assert_eq!(world.call(slot::STORAGE_RESULT_READ, [2000, 16, 0, 0]), Status::PointerRefused);
    assert_eq!(world.call(slot::STORAGE_RESULT_READ, [0, 16, 0, 0]), Status::Ok);
    assert_eq!(world.memory.borrow().first_chunk(), Some(&[0xFF; 16]));
    assert_eq!(world.call(slot::STORAGE_RESULT_READ, [0, 16, 0, 0]), Status::NothingPending);
}

#[test]
fn once_an_update_is_applied_nothing_is_begun_and_what_waits_is_not_done() {
    let world = World::new();
    assert_eq!(world.call(slot::STORAGE_WRITE, [3, 0, 0, 16]), Status::Ok);
    world.with(|m| m.storage.close());
    world.serve();
    assert!(world.raw().iter().all(|byte| *byte == 0xFF));
    assert_eq!(world.call(slot::STORAGE_RESULT_READ, [0, 0, 0, 0]), Status::NotNow);
    assert_eq!(world.call(slot::STORAGE_ERASE, [3, 0, 0, 0]), Status::NotNow);
    world.with(|m| m.application_ended());
    assert_eq!(
        world.call(slot::STORAGE_READ, [3, 0, 1, 0]),
        Status::NotNow,
        "another application owns nothing yet"
    );
}

#[test]
fn flash_that_does_not_answer_is_the_hardwares_fault() {
    let world = World::new();
    world.flash.borrow_mut().kill();
    for (slot, arguments) in [
        (slot::STORAGE_READ, [3, 0, 16, 0]),
        (slot::STORAGE_WRITE, [3, 0, 0, 16]),
        (slot::STORAGE_ERASE, [3, 0, 0, 0]),
    ] {
        assert_eq!(world.whole(slot, arguments), Status::HardwareFailed);
    }
}

#[test]
fn an_area_says_how_long_it_is_and_how_it_erases() {
    let world = World::new();
    assert_eq!(world.call(slot::STORAGE_INFO_READ, [3, 0, 0, 0]), Status::VersionUnknown);
    assert!(world.copy_out(0, &1u32.to_le_bytes()));
    assert_eq!(world.call(slot::STORAGE_INFO_READ, [2, 0, 0, 0]), Status::ArgumentRefused);
    assert_eq!(world.call(slot::STORAGE_INFO_READ, [3, 0, 0, 0]), Status::Ok);
    let info = StorageInfo { version: 1, length_bytes: 1024, erase_bytes: 512, transfer_bytes_max: 256 };
    assert_eq!(world.memory.borrow().first_chunk(), Some(&info.to_bytes()));
}
