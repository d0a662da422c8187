//! Holes made on purpose: the built hypervisor with a few bytes changed. The matrix must find each.

use anyhow::{Context, Result, bail};
use bulkhead_virtual_device::find_image;
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

use super::row::{Class, Row};
use super::run::run;

/// `BX LR`, `MOVS R0, #1`, `NOP`.
const RETURN: [u8; 2] = [0x70, 0x47];
const ONE: [u8; 2] = [0x01, 0x20];
const NOP: [u8; 2] = [0x00, 0xBF];
/// `SG`, `CPSIE I`, `BXNS LR`: enters, and goes back.
const ENTRY: [u8; 8] = [0x7F, 0xE9, 0x7F, 0xE9, 0x62, 0xB6, 0x74, 0x47];

/// A hole.
#[derive(Clone, Copy)]
pub struct Seed {
    /// What is wrong with the hypervisor that has it.
    pub name: &'static str,
    /// Makes it.
    pub drill: fn(&mut Image) -> Result<()>,
    /// Whether a row may find it; few are committed.
    pub rows: fn(&Row) -> bool,
}

/// An ELF file whose bytes can be changed.
#[derive(Clone, Debug)]
pub struct Image {
    bytes: Vec<u8>,
}

impl Image {
    /// The file `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Replaces every place that reads `from` by `to`.
    fn replace(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let mut found = false;
        let mut at = 0;
        while let Some(window) = self.bytes.get_mut(at..at + from.len()) {
            if window == from {
                window.copy_from_slice(to);
                found = true;
            }
            at += 1;
        }
        if found {
            Ok(())
        } else {
            bail!("the image does not hold {from:02x?}: the seed must follow the code")
        }
    }

    /// Overwrites the first instructions of every function whose name contains `name`.
    fn overwrite(&mut self, name: &str, code: &[u8]) -> Result<()> {
        let file = object::File::parse(&*self.bytes).context("the image is not ELF")?;
        let mut places = Vec::new();
        for symbol in file.symbols().filter(|symbol| symbol.name().is_ok_and(|known| known.contains(name))) {
            let address = symbol.address() & !1;
            let sections = file.sections().filter(|section| section.kind() == SectionKind::Text);
            for section in sections {
                let (start, size) = (section.address(), section.size());
                if let (Some((offset, _)), true) =
                    (section.file_range(), (start..start + size).contains(&address))
                {
                    places.push(usize::try_from(offset + address - start)?);
                }
            }
        }
        if places.is_empty() {
            bail!("the image has no function `{name}`: the seed must follow the code");
        }
        for place in places {
            let window = self.bytes.get_mut(place..place + code.len()).context("the image is cut short")?;
            window.copy_from_slice(code);
        }
        Ok(())
    }
}

/// The application's flash: base and length, as the table of regions has them.
fn reach_the_journal(image: &mut Image) -> Result<()> {
    image.replace(
        &[0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x10, 0x00],
        &[0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x12, 0x00],
    )
}

/// Every hole.
pub const SEEDS: &[Seed] = &[
    Seed {
        name: "a region that reaches into the journal and the keys",
        drill: reach_the_journal,
        rows: |row| row.class == Class::Read && row.name.starts_with("LDR 0x80110000"),
    },
    Seed {
        name: "the same, written to",
        drill: reach_the_journal,
        rows: |row| row.class == Class::Write && row.name.starts_with("STR 0x8011c000"),
    },
    Seed {
        name: "the same, executed",
        drill: reach_the_journal,
        rows: |row| row.class == Class::Execute && row.name.starts_with("BX 0x80110000"),
    },
    Seed {
        name: "an entry in the middle of a gateway",
        drill: |image| image.overwrite("bulkhead_gateway_0", &ENTRY),
        rows: |row| row.class == Class::Gateways && row.name.starts_with("BX 0x101ff200"),
    },
    Seed {
        name: "no check of pointers",
        drill: |image| image.overwrite("memory_check3may", &[ONE, RETURN].concat()),
        rows: |row| row.name.starts_with("CALL 0x00000002 0x38000000"),
    },
    Seed {
        name: "the Ethernet controller's interrupt, given away",
        drill: |image| image.replace(&[34, 35, 3, 80, 81, 82, 83], &[34, 35, 3, 80, 81, 82, 48]),
        rows: |row| row.class == Class::Registers && row.name.contains("NVIC_ISER1"),
    },
    Seed {
        name: "registers that come back as they were used",
        // homecoming.rs: movs r3, #0; strd r2, r3, [r12]
        drill: |image| {
            let stored = [0xCC, 0xE9, 0x00, 0x23];
            image.replace(&[&[0x00, 0x23], &stored[..]].concat(), &[&NOP, &stored[..]].concat())
        },
        rows: |row| row.class == Class::Races && row.name.contains("bh_clock_monotonic_read_us"),
    },
    Seed {
        name: "a register that a handler finds as the hypervisor left it",
        // worker.rs: mov r3, r0; mov r12, r0; msr apsr_nzcvq, r0; cpsie i; bxns r2
        drill: |image| {
            let cleared = [0x84, 0x46, 0x80, 0xF3, 0x00, 0x88, 0x62, 0xB6, 0x14, 0x47];
            image.replace(&[&[0x03, 0x46], &cleared[..]].concat(), &[&NOP, &cleared[..]].concat())
        },
        rows: |row| row.class == Class::Entries,
    },
    Seed {
        name: "flags that come back as they were used",
        // homecoming.rs: lsls r3, r1, #9; orr r3, r3, #0x1000000. In place of the first: ldr r3, [r0, #28]
        drill: |image| {
            let thumb = [0x43, 0xF0, 0x80, 0x73];
            let unaligned = [0x4B, 0x02];
            let as_used = [0xC3, 0x69];
            image.replace(&[&unaligned, &thumb[..]].concat(), &[&as_used, &thumb[..]].concat())
        },
        rows: |row| row.class == Class::Races && row.name.contains("bh_device_id_read"),
    },
    Seed {
        name: "a reset that the application may ask for",
        drill: |image| image.overwrite("refuse_application_reset", &RETURN),
        rows: |row| row.name.contains("AIRCR.SYSRESETREQ)"),
    },
];

/// Rows committed for one hole.
const ROWS_MAX: usize = 6;

/// What a hole came to: the first line of the escape that showed it, or why none did.
pub type Found = std::result::Result<String, String>;

/// Commits the rows that must find each of `seeds`, several holes at once.
///
/// # Errors
/// A hole could not be made, or a device not be started.
pub fn finds(rows: &[Row], seeds: &'static [Seed], n_devices: usize) -> Result<Vec<(&'static Seed, Found)>> {
    let mut found = Vec::new();
    for group in seeds.chunks(n_devices.max(1)) {
        let results: Vec<Result<Found>> = std::thread::scope(|scope| {
            let threads: Vec<_> = group.iter().map(|seed| scope.spawn(|| find(rows, seed))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| bail!("a seed's thread ended")))
                .collect()
        });
        for (seed, result) in group.iter().zip(results) {
            found.push((seed, result.with_context(|| format!("seed `{}`", seed.name))?));
        }
    }
    Ok(found)
}

fn find(rows: &[Row], seed: &Seed) -> Result<Found> {
    let built = find_image(None)?;
    let mut image = Image::new(std::fs::read(&built)?);
    (seed.drill)(&mut image)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("hypervisor.elf");
    std::fs::write(&path, image.into_bytes())?;
    let chosen: Vec<Row> = rows.iter().filter(|row| (seed.rows)(row)).take(ROWS_MAX).cloned().collect();
    if chosen.is_empty() {
        return Ok(Err("no row is meant to find it".into()));
    }
    let report = run(&chosen, 1, Some(&path))?;
    Ok(match report.escapes.first() {
        Some(escape) => Ok(escape.lines().next().unwrap_or_default().to_owned()),
        None => Err(format!("{} rows came to their usual end", chosen.len())),
    })
}
