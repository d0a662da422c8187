//! The whole server in this process, over real sockets.

#[cfg(test)]
mod api;
#[cfg(test)]
mod application;
#[cfg(test)]
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
