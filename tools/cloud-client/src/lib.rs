//! Client of the REST API.
#![forbid(unsafe_code)]
