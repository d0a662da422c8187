//! All SQL: devices, bundles, targets, tokens, logs, events.
#![forbid(unsafe_code)]
