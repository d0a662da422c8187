//! SMSC LAN9118 Ethernet controller, in programmed I/O.
//!
//! # Source
//! LAN9118 data sheet, revision 1.5: chapter 5 (registers), 3.11 and 3.12 (transmit and receive data path).

use crate::register::Registers;
use bulkhead_hardware_ports::{ETHERNET_FRAME_LEN_MAX, EthernetController};

const RX_DATA_FIFO: u32 = 0x00;
const TX_DATA_FIFO: u32 = 0x20;
const RX_STATUS_FIFO: u32 = 0x40;
const TX_STATUS_FIFO: u32 = 0x48;
const IRQ_CFG: u32 = 0x54;
const INT_STS: u32 = 0x58;
const INT_EN: u32 = 0x5C;
const BYTE_TEST: u32 = 0x64;
const FIFO_INT: u32 = 0x68;
const TX_CFG: u32 = 0x70;
const HW_CFG: u32 = 0x74;
const RX_FIFO_INF: u32 = 0x7C;
const TX_FIFO_INF: u32 = 0x80;
const MAC_CSR_CMD: u32 = 0xA4;
const MAC_CSR_DATA: u32 = 0xA8;

const IRQ_ENABLE_ACTIVE_HIGH_PUSH_PULL: u32 = (1 << 8) | (1 << 4) | 1;
const INT_RX_STATUS_LEVEL: u32 = 1 << 3;
const INT_RX_DROPPED: u32 = 1 << 6;
const HW_CFG_RESET: u32 = 1;
const HW_CFG_MUST_BE_ONE: u32 = 1 << 20;
const HW_CFG_TX_FIFO_KIB: u32 = 5 << 16;
const TX_ON: u32 = 1 << 1;
const TX_COMMAND_A_WHOLE_FRAME: u32 = (1 << 13) | (1 << 12);
const RX_STATUS_ERROR: u32 = 1 << 15;
const MAC_BUSY: u32 = 1 << 31;
const MAC_READ: u32 = 1 << 30;
const MAC_CR: u32 = 1;
const MAC_ADDRESS_HIGH: u32 = 2;
const MAC_ADDRESS_LOW: u32 = 3;
const MAC_CR_RX_TX_FULL_DUPLEX: u32 = (1 << 20) | (1 << 3) | (1 << 2);

/// Value of BYTE_TEST on a controller that is there and awake.
const BYTE_TEST_VALUE: u32 = 0x8765_4321;
/// Reads of a busy bit before the controller counts as dead.
const BUSY_READS_MAX: u32 = 10_000;
/// Bytes of checksum at the end of each received frame.
const CHECKSUM_LEN: usize = 4;
/// Room in the transmit FIFO for the longest frame with its two command words.
const TX_ROOM_BYTES: u32 = 1536 + 8;

/// The controller.
pub struct Lan9118(Registers);

/// The controller did not answer as a LAN9118 does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotFound;

impl Lan9118 {
    /// Resets and starts the controller at `base`.
    ///
    /// # Errors
    /// [`NotFound`]: no controller there; the machine was started without one.
    ///
    /// # Safety
    /// 1. `base` is a LAN9118 in the secure alias, owned by the secure world and by this value alone.
    pub unsafe fn start(base: u32) -> Result<Self, NotFound> {
        // SAFETY: the caller's promise 1.
        let r = unsafe { Registers::at(base) };
        if r.read(BYTE_TEST) != BYTE_TEST_VALUE {
            return Err(NotFound);
        }
        r.write(HW_CFG, HW_CFG_RESET);
        if !(0..BUSY_READS_MAX).any(|_| r.read(HW_CFG) & HW_CFG_RESET == 0) {
            return Err(NotFound);
        }
        r.write(HW_CFG, HW_CFG_MUST_BE_ONE | HW_CFG_TX_FIFO_KIB);
        let mut this = Self(r);
        r.write(IRQ_CFG, IRQ_ENABLE_ACTIVE_HIGH_PUSH_PULL);
        r.write(FIFO_INT, 0); // An interrupt for the first status word.
        r.write(INT_STS, u32::MAX);
        r.write(INT_EN, INT_RX_STATUS_LEVEL);
        r.write(TX_CFG, TX_ON);
        this.mac_write(MAC_CR, MAC_CR_RX_TX_FULL_DUPLEX);
        Ok(this)
    }

    fn mac_wait(&self) -> bool {
        (0..BUSY_READS_MAX).any(|_| self.0.read(MAC_CSR_CMD) & MAC_BUSY == 0)
    }

    fn mac_write(&mut self, register: u32, value: u32) {
        self.0.write(MAC_CSR_DATA, value);
        self.0.write(MAC_CSR_CMD, MAC_BUSY | register);
        self.mac_wait();
    }

    fn mac_read(&mut self, register: u32) -> u32 {
        self.0.write(MAC_CSR_CMD, MAC_BUSY | MAC_READ | register);
        self.mac_wait();
        self.0.read(MAC_CSR_DATA)
    }
}

impl EthernetController for Lan9118 {
    fn mac_address(&mut self) -> [u8; 6] {
        let low = self.mac_read(MAC_ADDRESS_LOW).to_le_bytes();
        let high = self.mac_read(MAC_ADDRESS_HIGH).to_le_bytes();
        let [a, b, c, d] = low;
        let [e, f, ..] = high;
        [a, b, c, d, e, f]
    }

    fn receive(&mut self, out: &mut [u8; ETHERNET_FRAME_LEN_MAX]) -> Option<usize> {
        // RX_FIFO_INF: status words in bits 23:16.
        while (self.0.read(RX_FIFO_INF) >> 16) & 0xFF != 0 {
            let status = self.0.read(RX_STATUS_FIFO);
            let length = ((status >> 16) & 0x3FFF) as usize;
            let words = length.div_ceil(4);
            let whole = status & RX_STATUS_ERROR == 0 && length > CHECKSUM_LEN;
            let frame_len = length.saturating_sub(CHECKSUM_LEN);
            let keep = whole && frame_len <= out.len();
            // The words are read in any case: they are the next frame's way out of the FIFO.
            for index in 0..words {
                let bytes = self.0.read(RX_DATA_FIFO).to_le_bytes();
                if keep {
                    for (to, from) in out.iter_mut().skip(index * 4).zip(bytes) {
                        *to = from;
                    }
                }
            }
            if keep {
                return Some(frame_len);
            }
        }
        None
    }

    fn can_transmit(&mut self) -> bool {
        self.0.read(TX_FIFO_INF) & 0xFFFF >= TX_ROOM_BYTES
    }

    fn transmit(&mut self, frame: &[u8]) -> bool {
        let Ok(length) = u32::try_from(frame.len()) else { return false };
        if frame.is_empty() || frame.len() > ETHERNET_FRAME_LEN_MAX || !self.can_transmit() {
            return false;
        }
        self.0.write(TX_DATA_FIFO, TX_COMMAND_A_WHOLE_FRAME | length);
        self.0.write(TX_DATA_FIFO, length);
        for chunk in frame.chunks(4) {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.0.write(TX_DATA_FIFO, u32::from_le_bytes(word));
        }
        // Status words of sent frames would fill their FIFO; nobody needs them.
        while (self.0.read(TX_FIFO_INF) >> 16) & 0xFF != 0 {
            let _ = self.0.read(TX_STATUS_FIFO);
        }
        true
    }

    fn interrupt_acknowledge(&mut self) {
        self.0.write(INT_STS, INT_RX_STATUS_LEVEL | INT_RX_DROPPED);
    }
}
