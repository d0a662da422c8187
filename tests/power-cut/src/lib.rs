//! Every power cut of an update, and boots from what is left.
//!
//! [`Device`] runs the real engine with real signatures and seals on a shrunken geometry, or on one of real size.
//! [`explore`] cuts its power inside and after every flash operation, boots from each state that is left with each
//! way its torn cells can read, cuts again, and checks every start of an application against what the cells really
//! hold: an application that is started on a cell that is torn is an unsafe start, even if the cell happens to read
//! well. [`wander`] goes deeper at random. What must hold is listed in [`claims`], and engines with one mistake each
//! that must be caught in [`bugs`].
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "a test suite: a broken expectation fails the test")]

pub mod bugs;
mod bundle;
mod claim;
pub mod claims;
mod damage;
mod deep;
mod device;
mod explore;
pub mod frames;
pub mod narrow;
mod random;
mod replay;
mod session;
mod shape;
mod worn;

pub use bundle::{AreaOf, Bundle, OWNER, bundle};
pub use claim::{Claim, Exploration, Fault, FaultsAre, Limits};
pub use damage::Damage;
pub use device::{Device, Health, Interruption, Outcome, Server, Started, World};
pub use explore::explore;
pub use random::wander;
pub use replay::{explain, replay};
pub use shape::{DIE_PAGE, LAYOUT, REAL, SECTOR, SMALL, Shape};
