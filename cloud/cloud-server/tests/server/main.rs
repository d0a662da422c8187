//! The whole server in this process, over real sockets.

#[cfg(test)]
mod api;
#[cfg(test)]
mod application;
mod crashes;
#[cfg(test)]
mod debugging;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod owner;
#[cfg(test)]
mod plans;
