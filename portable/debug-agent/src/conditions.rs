//! The expressions of all probes, one behind the other in one buffer.

use bulkhead_debug_protocol::EXPRESSION_LEN_MAX;

/// Bytes before each expression: address of its probe, its length.
const HEAD_LEN: usize = 6;

/// Expressions by the address of their probe. Together they have `EXPRESSION_LEN_MAX` bytes, heads included.
#[derive(Debug)]
pub(crate) struct Conditions {
    bytes: [u8; EXPRESSION_LEN_MAX],
    used: usize,
}

impl Conditions {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; EXPRESSION_LEN_MAX], used: 0 }
    }

    /// Where the entry of `address` begins, and its expression.
    fn find(&self, address: u32) -> Option<(usize, &[u8])> {
        let mut at = 0;
        while at < self.used {
            let (head, rest) = self.bytes.get(at..self.used)?.split_first_chunk::<HEAD_LEN>()?;
            let [a, b, c, d, low, high] = *head;
            let expression = rest.get(..usize::from(u16::from_le_bytes([low, high])))?;
            if u32::from_le_bytes([a, b, c, d]) == address {
                return Some((at, expression));
            }
            at += HEAD_LEN + expression.len();
        }
        None
    }

    /// The expression of the probe at `address`.
    pub(crate) fn get(&self, address: u32) -> Option<&[u8]> {
        self.find(address).map(|(_, expression)| expression)
    }

    /// Takes an expression away.
    pub(crate) fn remove(&mut self, address: u32) {
        let Some((at, expression)) = self.find(address) else { return };
        let len = HEAD_LEN + expression.len();
        self.bytes.copy_within(at + len..self.used, at);
        self.used -= len;
    }

    /// Puts an expression in place; `false` if there is no room, and then there is none.
    pub(crate) fn set(&mut self, address: u32, expression: &[u8]) -> bool {
        self.remove(address);
        let Ok(len) = u16::try_from(expression.len()) else { return false };
        let end = self.used + HEAD_LEN + expression.len();
        let Some(room) = self.bytes.get_mut(self.used..end) else { return false };
        let head = address.to_le_bytes().into_iter().chain(len.to_le_bytes());
        for (place, byte) in room.iter_mut().zip(head.chain(expression.iter().copied())) {
            *place = byte;
        }
        self.used = end;
        true
    }

    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_come_and_go_in_any_order() {
        let mut conditions = Conditions::new();
        for n in 0..5_u8 {
            assert!(conditions.set(u32::from(n), &[n; 20]));
        }
        conditions.remove(1);
        conditions.remove(9);
        assert!(conditions.set(3, &[33; 7]));
        assert_eq!(conditions.get(1), None);
        for (n, expression) in [(0, &[0; 20][..]), (2, &[2; 20]), (3, &[33; 7]), (4, &[4; 20])] {
            assert_eq!(conditions.get(n), Some(expression));
        }
        assert!(!conditions.set(4, &[1; EXPRESSION_LEN_MAX]));
        assert_eq!(conditions.get(4), None);
        conditions.clear();
        assert!(conditions.set(8, &[8; EXPRESSION_LEN_MAX - HEAD_LEN]));
    }
}
