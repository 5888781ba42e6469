//! The intake: what agents show goes into a vault, each into its own machine's timeline.
//!
//! An agent says what its disks hold and asks for points; it is asked for segments and chunks. It can do nothing else: there is no
//! request that reads, deletes or names another machine, whose name comes from the certificate and not from what is said. Whatever
//! arrives may be hostile. What an agent is told depends only on what it has shown itself.
//!
//! Never knows: how agents connect, people, HTTP, SQL.

mod clock;
mod desk;
mod left_out;
mod limits;
mod sessions;
mod talk;
mod told;

pub use sessions::{Intake, Watch};
