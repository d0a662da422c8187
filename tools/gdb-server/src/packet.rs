//! Packets of GDB's remote serial protocol: `$data#checksum`, `+`, `-`, and the interrupt byte.

/// Longest packet that is taken from GDB, in bytes; it is told so.
pub const PACKET_LEN_MAX: usize = 0x4000;

/// What came from GDB.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FromGdb {
    /// A packet whose checksum holds, without its frame, unescaped.
    Packet(Vec<u8>),
    /// One whose checksum does not hold, or that is too long.
    Damaged,
    /// Ctrl-C.
    Interrupt,
}

/// Cuts a stream of bytes into packets.
#[derive(Debug, Default)]
pub struct Packets {
    state: State,
    data: Vec<u8>,
    sum: u8,
    too_long: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Between,
    Data,
    Escaped,
    FirstDigit,
    SecondDigit(u8),
}

impl Packets {
    /// Takes one byte; `Some` when it ends something.
    pub fn push(&mut self, byte: u8) -> Option<FromGdb> {
        match (self.state, byte) {
            (State::Between, b'$') => {
                *self = Self { state: State::Data, ..Self::default() };
                None
            }
            (State::Between, 3) => Some(FromGdb::Interrupt),
            // `+`, and `-`: nothing is damaged on the way to GDB, so that it has merely grown impatient. To send the
            // answer twice would put all later ones out of step.
            (State::Between, _) => None,
            // A packet that begins anew: the one before was cut off.
            (State::Data, b'$') => {
                *self = Self { state: State::Data, ..Self::default() };
                None
            }
            (State::Data, b'#') => {
                self.state = State::FirstDigit;
                None
            }
            (State::Data, b'}') => {
                self.sum = self.sum.wrapping_add(byte);
                self.state = State::Escaped;
                None
            }
            (State::Data | State::Escaped, byte) => {
                self.sum = self.sum.wrapping_add(byte);
                let plain = if self.state == State::Escaped { byte ^ 0x20 } else { byte };
                self.state = State::Data;
                if self.data.len() < PACKET_LEN_MAX {
                    self.data.push(plain);
                } else {
                    self.too_long = true;
                }
                None
            }
            (State::FirstDigit, byte) => {
                self.state = State::SecondDigit(byte);
                None
            }
            (State::SecondDigit(first), second) => {
                self.state = State::Between;
                let told = std::str::from_utf8(&[first, second])
                    .ok()
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                if told != Some(self.sum) || self.too_long {
                    return Some(FromGdb::Damaged);
                }
                Some(FromGdb::Packet(std::mem::take(&mut self.data)))
            }
        }
    }
}

/// Sum of all bytes, modulo 256.
pub fn checksum(data: &[u8]) -> u8 {
    data.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Puts a packet's frame around `data`, escaping what has to be.
pub fn frame(data: &[u8]) -> Vec<u8> {
    let mut out = vec![b'$'];
    for byte in data {
        if matches!(byte, b'$' | b'#' | b'}' | b'*') {
            out.extend([b'}', byte ^ 0x20]);
        } else {
            out.push(*byte);
        }
    }
    let sum = checksum(out.get(1..).unwrap_or_default());
    out.extend(format!("#{sum:02x}").bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<FromGdb> {
        let mut packets = Packets::default();
        bytes.iter().filter_map(|byte| packets.push(*byte)).collect()
    }

    #[test]
    fn a_frame_comes_back_as_it_was_put_around_whatever_the_bytes() {
        let data: Vec<u8> = (0..=255).collect();
        assert_eq!(all(&frame(&data)), [FromGdb::Packet(data)]);
    }

    #[test]
    fn damaged_cut_and_endless_packets_are_no_packets() {
        assert_eq!(all(b"$g#66"), [FromGdb::Damaged]);
        assert_eq!(all(b"$g#zz"), [FromGdb::Damaged]);
        assert_eq!(all(b"$m80$g#67"), [FromGdb::Packet(b"g".to_vec())]);
        assert_eq!(all(b"+\x03-$#00"), [FromGdb::Interrupt, FromGdb::Packet(vec![])]);
        let long = [b"$".as_slice(), &vec![b'0'; PACKET_LEN_MAX + 1], b"#30"].concat();
        assert_eq!(all(&long), [FromGdb::Damaged]);
    }
}
