//! Types of the REST API, shared by server and clients.
#![forbid(unsafe_code)]
