//! The shape of `board.toml` and the rules it must keep.

use std::fmt;

use serde::Deserialize;

/// A board. All addresses and lengths are in bytes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Name of the folder under `boards/`.
    pub name: String,
    /// Class that manifests name.
    pub device_class: String,
    /// Revision of the board.
    pub revision: u32,
    /// Chip crate, `device/chip-*`.
    pub chip: String,
    /// Clock of the processor in Hz.
    pub clock_hz: u32,
    /// What the hypervisor keeps.
    pub hypervisor: Hypervisor,
    /// The hypervisor's thread.
    pub worker: Worker,
    /// What the application gets.
    pub application: Application,
    /// Peripherals of the hypervisor.
    pub hypervisor_peripheral: Vec<Peripheral>,
    /// Non-volatile memory.
    pub non_volatile: NonVolatile,
}

/// A span of addresses.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// First address.
    pub base: u32,
    /// Length in bytes.
    pub length: u32,
}

/// A span of non-volatile memory.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Offset from the start of non-volatile memory.
    pub offset: u32,
    /// Length in bytes.
    pub length: u32,
}

/// Memory of the hypervisor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hypervisor {
    /// Code and constants.
    pub code: Span,
    /// The page of secure gateways.
    pub gateways: Span,
    /// RAM.
    pub memory: Span,
}

/// The thread in which the hypervisor works.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Most of the application's time that it uses while the application does not sleep, 1 to 100.
    pub share_percent: u32,
    /// Right behind the application's RAM, non-secure for the bus: the vector table that is in force while it runs.
    pub vectors: Span,
}

/// What an application may do with a region.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Constants.
    Read,
    /// Code.
    ReadExecute,
    /// RAM.
    ReadWriteExecute,
}

/// A region of the application.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Name in the linker script, lower case.
    pub name: String,
    /// First address.
    pub base: u32,
    /// Length in bytes.
    pub length: u32,
    /// What is allowed.
    pub access: Access,
}

/// A peripheral.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peripheral {
    /// Name.
    pub name: String,
    /// First address, in the alias of its owner's world.
    pub base: u32,
    /// Length in bytes.
    pub length: u32,
    /// Interrupt lines.
    pub interrupts: Vec<u32>,
}

/// The application's share.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Memory.
    pub region: Vec<Region>,
    /// Peripherals.
    pub peripheral: Vec<Peripheral>,
    /// Interrupt lines without hardware behind them.
    pub software_interrupts: Vec<u32>,
}

/// Non-volatile memory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NonVolatile {
    /// First address.
    pub base: u32,
    /// Length in bytes.
    pub length: u32,
    /// Flash on the die.
    pub die: Die,
    /// Flash beside the chip.
    pub external: External,
}

impl NonVolatile {
    /// Every part, by the name of its key.
    pub fn parts(&self) -> Vec<(&'static str, Part)> {
        // Taken apart by name, so that a part that is added to the description is missed here by the compiler.
        let Die {
            page_bytes: _,
            unit_bytes: _,
            application,
            journal,
            manifests,
            identity,
            entropy,
            keys,
            ledger,
            breakpoints,
        } = self.die;
        let mut parts = vec![
            ("die.application", application),
            ("die.journal", journal),
            ("die.manifests", manifests),
            ("die.identity", identity),
            ("die.entropy", entropy),
            ("die.keys", keys),
            ("die.ledger", ledger),
            ("die.breakpoints", breakpoints),
        ];
        let External { sector_bytes: _, application, configuration, crashes, staging } = self.external;
        parts.extend([
            ("external.application", application),
            ("external.configuration", configuration),
            ("external.crashes", crashes),
            ("external.staging", staging),
        ]);
        parts
    }
}

/// Flash on the die.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Die {
    /// Erase size.
    pub page_bytes: u32,
    /// Program size; a unit is programmable once an erase.
    pub unit_bytes: u32,
    /// The application's code and constants.
    pub application: Part,
    /// The update journal.
    pub journal: Part,
    /// Two slots for signed manifests.
    pub manifests: Part,
    /// What the factory wrote.
    pub identity: Part,
    /// Two pages that make the entropy seed new at each boot.
    pub entropy: Part,
    /// Three slots for the owner's key sets.
    pub keys: Part,
    /// Two pages for what is counted across power cuts: erases, postponements.
    pub ledger: Part,
    /// Stands for the processor's breakpoint comparators: which half-words of code a debugger has replaced.
    pub breakpoints: Part,
}

/// Flash beside the chip.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Erase size.
    pub sector_bytes: u32,
    /// The application's external areas.
    pub application: Part,
    /// The application's configuration, sealed: two banks.
    pub configuration: Part,
    /// Sealed crash dumps.
    pub crashes: Part,
    /// Encrypted staging.
    pub staging: Part,
}

/// Why a description was refused. The text names the key to mend.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BoardError(pub String);

impl fmt::Display for BoardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BoardError {}

/// Granule of static world boundaries in bytes; a chip with coarser blocks may only coarsen it.
const BOUNDARY_BYTES: u32 = 4096;

impl Board {
    /// Reads and checks a description.
    ///
    /// # Errors
    /// [`BoardError`] names the key that is missing, misaligned or overlaps another.
    pub fn parse(text: &str) -> Result<Self, BoardError> {
        let board: Self = toml::from_str(text).map_err(|e| BoardError(format!("board.toml: {e}")))?;
        board.check()?;
        Ok(board)
    }

    /// The application region called `name`.
    ///
    /// # Errors
    /// [`BoardError`]: there is none.
    pub fn region(&self, name: &str) -> Result<&Region, BoardError> {
        let found = self.application.region.iter().find(|r| r.name == name);
        found.ok_or_else(|| BoardError(format!("board.toml: no application region `{name}`")))
    }

    fn check(&self) -> Result<(), BoardError> {
        let mut spans: Vec<(String, Span)> = vec![
            ("hypervisor.code".into(), self.hypervisor.code),
            ("hypervisor.gateways".into(), self.hypervisor.gateways),
            ("hypervisor.memory".into(), self.hypervisor.memory),
            ("worker.vectors".into(), self.worker.vectors),
        ];
        for region in &self.application.region {
            let span = Span { base: region.base, length: region.length };
            spans.push((format!("application.region.{}", region.name), span));
        }
        for (name, span) in &spans {
            if span.base % BOUNDARY_BYTES != 0 || span.length % BOUNDARY_BYTES != 0 || span.length == 0 {
                return Err(BoardError(format!("board.toml: {name} does not lie on {BOUNDARY_BYTES} bytes")));
            }
        }
        refuse_overlaps(&spans)?;
        let is_ram = |r: &&Region| r.access == Access::ReadWriteExecute;
        let ram_end = self.application.region.iter().find(is_ram).and_then(|r| r.base.checked_add(r.length));
        if ram_end != Some(self.worker.vectors.base) {
            return Err(BoardError(
                "board.toml: worker.vectors.base is not the end of application RAM".into(),
            ));
        }
        if !(1..=100).contains(&self.worker.share_percent) {
            return Err(BoardError("board.toml: worker.share_percent is not 1 to 100".into()));
        }
        let parts = self.non_volatile.parts();
        let parts: Vec<_> = parts
            .iter()
            .map(|(name, p)| (format!("non_volatile.{name}"), Span { base: p.offset, length: p.length }))
            .collect();
        for (name, part) in &parts {
            let erase = if name.contains(".die.") {
                self.non_volatile.die.page_bytes
            } else {
                self.non_volatile.external.sector_bytes
            };
            let end = part.base.checked_add(part.length);
            if part.base % erase != 0 || part.length % erase != 0 || part.length == 0 {
                return Err(BoardError(format!("board.toml: {name} does not lie on {erase} bytes")));
            }
            if end.is_none_or(|end| end > self.non_volatile.length) {
                return Err(BoardError(format!("board.toml: {name} ends outside non_volatile.length")));
            }
        }
        refuse_overlaps(&parts)
    }
}

fn refuse_overlaps(spans: &[(String, Span)]) -> Result<(), BoardError> {
    let mut sorted: Vec<_> = spans.iter().collect();
    sorted.sort_by_key(|(_, s)| s.base);
    for pair in sorted.windows(2) {
        if let [(first, a), (second, b)] = pair
            && u64::from(a.base) + u64::from(a.length) > u64::from(b.base)
        {
            return Err(BoardError(format!("board.toml: {first} overlaps {second}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_board_is_accepted() {
        let board = Board::parse(crate::MPS2_AN505).unwrap();
        assert_eq!(board.region("flash").unwrap().base, 0x8000_0000);
    }

    #[test]
    fn overlap_and_misalignment_name_the_key() {
        let moved = crate::MPS2_AN505.replace("base = 0x8020_0000", "base = 0x8000_1000");
        let text = Board::parse(&moved).unwrap_err().to_string();
        assert!(text.contains("application.region.flash overlaps application.region.external"), "{text}");
        let moved = crate::MPS2_AN505.replace("base = 0x8020_0000", "base = 0x8020_0010");
        assert!(Board::parse(&moved).unwrap_err().to_string().contains("application.region.external"));
        assert!(Board::parse("name = 3").is_err());
        let moved =
            crate::MPS2_AN505.replace("vectors = { base = 0x2828_0000", "vectors = { base = 0x2829_0000");
        assert!(Board::parse(&moved).unwrap_err().to_string().contains("worker.vectors.base"));
        let greedy = crate::MPS2_AN505.replace("share_percent = ", "share_percent = 10");
        assert!(Board::parse(&greedy).unwrap_err().to_string().contains("worker.share_percent"));
    }
}
