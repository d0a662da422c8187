//! Every power cut of an update, and boots from what is left.
#![forbid(unsafe_code)]
