//! ELF, HEX or BIN in, signed bundle out.
#![forbid(unsafe_code)]
