//! Hardware that is broken from the first power session on.

use std::hash::{DefaultHasher, Hash, Hasher};

use bulkhead_bundle_format::Medium;
use bulkhead_flash_simulator::{SimulatedFlash, Wear};
use bulkhead_nor_flash::FlashAddress;
use bulkhead_update_engine::Part;

/// Offset in its block of the byte that a lying block does not hold: in the digest of a journal record, in the
/// ciphertext of a staged one, in the envelope of a manifest slot.
const WORN_BYTE: u32 = 20;

/// Every way in which a block wears that is tried.
const WEARS: [Wear; 5] =
    [Wear::Holds(0xFF), Wear::HoldsFrom(1, 0xFF), Wear::Forgets, Wear::RefusesPrograms, Wear::RefusesErases];

/// What is broken.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Damage {
    /// The erase block around this address, which is the byte that it does not hold, is worn.
    Worn {
        /// Its memory.
        medium: Medium,
        /// The address.
        at: u32,
        /// How it fails.
        how: Wear,
    },
    /// External flash does not answer.
    DeadExternal,
}

impl Damage {
    /// Each wear of each erase block of `part`.
    pub fn of_part(medium: Medium, part: Part, block: u32) -> Vec<Self> {
        let blocks = (part.start.0..part.start.0 + part.length).step_by(block as usize);
        blocks.flat_map(|start| WEARS.map(|how| Self::Worn { medium, at: start + WORN_BYTE, how })).collect()
    }

    /// A number without pattern: in its order a part of many damages is a sample of them.
    pub(crate) fn lot(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    pub(crate) fn strike(self, die: &mut SimulatedFlash, external: &mut SimulatedFlash) {
        match self {
            Self::Worn { medium: Medium::Die, at, how } => die.wear(FlashAddress(at), how),
            Self::Worn { medium: Medium::External, at, how } => external.wear(FlashAddress(at), how),
            Self::DeadExternal => external.kill(),
        }
    }

    /// `d276f`: the block around byte 276 of the die forgets; `e`: external; `h255`, `n1h255`: holds, and from when;
    /// `p`, `e`: refuses programs or erases. `x`: external flash is dead.
    pub(crate) fn format(self) -> String {
        let Self::Worn { medium, at, how } = self else { return "x".to_owned() };
        let memory = if medium == Medium::Die { 'd' } else { 'e' };
        match how {
            Wear::Holds(mask) => format!("{memory}{at}h{mask}"),
            Wear::HoldsFrom(n, mask) => format!("{memory}{at}n{n}h{mask}"),
            Wear::Forgets => format!("{memory}{at}f"),
            Wear::RefusesPrograms => format!("{memory}{at}p"),
            Wear::RefusesErases => format!("{memory}{at}e"),
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "x" {
            return Some(Self::DeadExternal);
        }
        let (medium, rest) = match text.split_at_checked(1)? {
            ("d", rest) => (Medium::Die, rest),
            ("e", rest) => (Medium::External, rest),
            _ => return None,
        };
        let (at, how) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let how = match how.split_at_checked(1)? {
            ("h", mask) => Wear::Holds(mask.parse().ok()?),
            ("n", rest) => {
                let (n, mask) = rest.split_once('h')?;
                Wear::HoldsFrom(n.parse().ok()?, mask.parse().ok()?)
            }
            ("f", "") => Wear::Forgets,
            ("p", "") => Wear::RefusesPrograms,
            ("e", "") => Wear::RefusesErases,
            _ => return None,
        };
        Some(Self::Worn { medium, at: at.parse().ok()?, how })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damages_print_and_parse() {
        let mut all = Damage::of_part(Medium::Die, Part::new(256, 512), 256);
        all.extend(Damage::of_part(Medium::External, Part::new(0, 512), 512));
        assert_eq!(all.len(), 15);
        all.push(Damage::DeadExternal);
        for damage in all {
            assert_eq!(Damage::parse(&damage.format()), Some(damage));
        }
        for wrong in ["", "d", "z12f", "d12", "d12q", "d12fx", "e1n2", "xx"] {
            assert_eq!(Damage::parse(wrong), None, "{wrong}");
        }
    }
}
