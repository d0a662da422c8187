//! Files generated from a description.
