//! ELF, HEX and BIN files: either they are refused, or a bundle comes out that a device accepts.
#![no_main]

use std::sync::OnceLock;

use bulkhead_board_description::{Board, MPS2_AN505};
use bulkhead_bundle_builder::{Format, Policy, Release, Revisions, Signer, build, read_image};
use bulkhead_bundle_format::BundleFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    static BOARD: OnceLock<Board> = OnceLock::new();
    let board = BOARD.get_or_init(|| Board::parse(MPS2_AN505).expect("the committed board"));
    let signer = Signer::from_secret(&[7; 32]);
    let release = Release {
        name: "n",
        version: "v",
        sequence: 1,
        security_counter: 0,
        abi: Revisions { least: 1, greatest: 1 },
        board_revisions: Revisions { least: 1, greatest: 1 },
        policy: Policy::default(),
        reserved: &[],
    };
    for format in [Format::Elf, Format::Hex, Format::Bin] {
        let Ok(image) = read_image(input, format, 0x8000_0000) else { continue };
        let bytes: usize = image.segments().iter().map(|segment| segment.bytes.len()).sum();
        assert!(bytes <= input.len(), "more is loaded than the file has");
        if let Ok(bundle) = build(board, &image, &release, &signer) {
            let read = BundleFile::verify(&bundle.file, &[signer.public_key()]).expect("a device accepts it");
            assert_eq!(read.manifest.digest(), bundle.manifest);
        }
    }
});
