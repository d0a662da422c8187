//! Which pairs of images are compared, and what is known of each.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bulkhead_bundle_builder::{Format, Segment, read_image};

/// What the images are made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Processor {
    /// What the format is made for.
    CortexM,
    /// Others, to see what it does where its predictions do not fit.
    Control,
}

/// How much of the image changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// Lines of source; what follows them moved.
    Small,
    /// A release or another optimisation: most functions are other code.
    Large,
}

/// Two images, the second of which follows the first.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) processor: Processor,
    pub(crate) change: Change,
    pub(crate) old: PathBuf,
    pub(crate) new: PathBuf,
    /// The ELF files that the images are from: detools looks for sections there.
    pub(crate) elf: Option<[PathBuf; 2]>,
    /// Data formats that detools shall try.
    pub(crate) formats: &'static [&'static str],
    /// Sections for detools where there is no ELF file, as its own tests name them.
    pub(crate) sections: &'static [(&'static str, u32)],
}

/// A pair in the `tests/files` of detools' source distribution.
struct Public {
    name: &'static str,
    processor: Processor,
    change: Change,
    old: &'static str,
    new: &'static str,
    elf: Option<[&'static str; 2]>,
    formats: &'static [&'static str],
    sections: &'static [(&'static str, u32)],
}

const CORTEX_M: &[&str] = &["arm-cortex-m4"];

/// A pair for a Cortex-M without ELF files.
const IMAGES_ALONE: Public = Public {
    name: "",
    processor: Processor::CortexM,
    change: Change::Small,
    old: "",
    new: "",
    elf: None,
    formats: CORTEX_M,
    sections: &[],
};

const PUBLIC: &[Public] = &[
    Public { name: "synth12", old: "synthesizer/1.bin", new: "synthesizer/2.bin", ..IMAGES_ALONE },
    Public { name: "synth23", old: "synthesizer/2.bin", new: "synthesizer/3.bin", ..IMAGES_ALONE },
    Public { name: "shell", old: "shell/old", new: "shell/new", ..IMAGES_ALONE },
    Public { name: "programmer", old: "programmer/0.8.0.bin", new: "programmer/0.9.0.bin", ..IMAGES_ALONE },
    Public {
        name: "pyb-small",
        old: "pybv11/1f5d945af/firmware1.bin",
        new: "pybv11/1f5d945af-dirty/firmware1.bin",
        elf: Some(["pybv11/1f5d945af/firmware.elf", "pybv11/1f5d945af-dirty/firmware.elf"]),
        ..IMAGES_ALONE
    },
    Public {
        name: "pyb-release",
        change: Change::Large,
        old: "pybv11/v1.10/firmware1.bin",
        new: "pybv11/1f5d945af-dirty/firmware1.bin",
        elf: Some(["pybv11/v1.10/firmware.elf", "pybv11/1f5d945af-dirty/firmware.elf"]),
        ..IMAGES_ALONE
    },
    Public {
        name: "pyb-release-2",
        change: Change::Large,
        old: "pybv11/v1.10/firmware1.bin",
        new: "pybv11/1f5d945af/firmware1.bin",
        elf: Some(["pybv11/v1.10/firmware.elf", "pybv11/1f5d945af/firmware.elf"]),
        ..IMAGES_ALONE
    },
    Public {
        name: "esp8266",
        processor: Processor::Control,
        change: Change::Large,
        old: "micropython/esp8266-20180511-v1.9.4.bin",
        new: "micropython/esp8266-20190125-v1.10.bin",
        elf: Some(["micropython/esp8266-20180511-v1.9.4.elf", "micropython/esp8266-20190125-v1.10.elf"]),
        formats: &["xtensa-lx106"],
        sections: &[],
    },
    Public {
        name: "shellpi3",
        processor: Processor::Control,
        old: "shell-pi-3/1.bin",
        new: "shell-pi-3/2.bin",
        formats: &["aarch64"],
        sections: &[
            ("from_data_offset_begin", 0x15300),
            ("from_data_offset_end", 0x30ab8),
            ("from_code_begin", 0),
            ("from_code_end", 0xd2e0),
            ("from_data_begin", 0x4000_0000),
            ("from_data_end", 0x4001_b7b8),
            ("to_data_offset_begin", 0x15300),
            ("to_data_offset_end", 0x30ab8),
            ("to_code_begin", 0),
            ("to_code_end", 0xd2f0),
            ("to_data_begin", 0x4000_0000),
            ("to_data_end", 0x4001_b7b8),
        ],
        ..IMAGES_ALONE
    },
];

/// Pairs of our own firmware, which `xtask` builds: LLVM's code, with MOVW and MOVT.
const OWN: &[(&str, Change)] = &[
    ("hypervisor-line", Change::Small),
    ("hypervisor-feature", Change::Small),
    ("hypervisor-inlining", Change::Large),
    ("hypervisor-speed", Change::Large),
    ("embassy-line", Change::Small),
    ("rtic-speed", Change::Large),
];

/// Every pair, in the order of the table; `public` is the `tests/files` of detools, `own` the folder of our firmware.
///
/// # Errors
/// A file is missing or no image.
pub(crate) fn all(public: &Path, own: &Path) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for pair in PUBLIC {
        pairs.push(Pair {
            name: pair.name.into(),
            processor: pair.processor,
            change: pair.change,
            old: public.join(pair.old),
            new: public.join(pair.new),
            elf: pair.elf.map(|files| files.map(|file| public.join(file))),
            formats: pair.formats,
            sections: pair.sections,
        });
    }
    for (name, change) in OWN {
        let elf = ["old", "new"].map(|age| own.join(format!("{name}.{age}.elf")));
        pairs.push(Pair { name: (*name).into(), change: *change, ..from_files(&elf[0], &elf[1], own)? });
    }
    Ok(pairs)
}

/// The pair of two files that a person names. ELF files are compared by what they put into memory; it lies in `folder`.
///
/// # Errors
/// A file cannot be read, or is ELF that puts nothing into memory.
pub(crate) fn from_files(old: &Path, new: &Path, folder: &Path) -> Result<Pair> {
    let images = [flat(old, folder)?, flat(new, folder)?];
    let elf = (images[0] != old && images[1] != new).then(|| [old.to_path_buf(), new.to_path_buf()]);
    let [old, new] = images;
    Ok(Pair {
        name: "pair".into(),
        processor: Processor::CortexM,
        change: Change::Small,
        old,
        new,
        elf,
        formats: CORTEX_M,
        sections: &[],
    })
}

/// The file itself, or of an ELF file the longest stretch that it puts into memory.
fn flat(path: &Path, folder: &Path) -> Result<PathBuf> {
    let file = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    if file.is_empty() {
        bail!("{} is empty; give an image with something in it", path.display());
    }
    if !file.starts_with(b"\x7fELF") {
        return Ok(path.to_path_buf());
    }
    let image = read_image(&file, Format::Elf, 0).with_context(|| path.display().to_string())?;
    let stretches = stretches(image.segments());
    let longest = stretches.iter().max_by_key(|bytes| bytes.len());
    let longest = longest.with_context(|| format!("{} puts nothing into memory", path.display()))?;
    let name = path.file_name().context("a file without a name")?.to_string_lossy();
    let copy = folder.join(format!("{name}.bin"));
    std::fs::write(&copy, longest).with_context(|| format!("failed to write {}", copy.display()))?;
    Ok(copy)
}

/// Joins segments that lie close, gaps filled as erased flash reads. What lies far off is another image.
fn stretches(segments: &[Segment]) -> Vec<Vec<u8>> {
    const ERASED: u8 = 0xFF;
    const GAP_LEN_MAX: u32 = 4096;
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut end = 0;
    for segment in segments {
        let gap = segment.address.saturating_sub(end);
        match found.last_mut().filter(|_| gap <= GAP_LEN_MAX) {
            Some(bytes) => {
                bytes.extend((0..gap).map(|_| ERASED));
                bytes.extend_from_slice(&segment.bytes);
            }
            None => found.push(segment.bytes.clone()),
        }
        end = segment.address.saturating_add(u32::try_from(segment.bytes.len()).unwrap_or(u32::MAX));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_that_lie_close_are_one_image() {
        let segment = |address, bytes: &[u8]| Segment { address, bytes: bytes.to_vec() };
        let segments = [segment(0x1000, &[1, 2]), segment(0x1004, &[3]), segment(0x10_0000, &[4])];
        assert_eq!(stretches(&segments), [vec![1, 2, 0xFF, 0xFF, 3], vec![4]]);
    }
}
