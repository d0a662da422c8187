//! The description of this board, as constants generated from `board.toml`.

include!(concat!(env!("OUT_DIR"), "/board.rs"));
