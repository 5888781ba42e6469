//! Applications around a freeze: scripts, and real database servers on loop devices that are frozen under load, copied,
//! and started from the copy. Needs root and the Debian packages postgresql and mariadb-server.
//!
//! Never knows: private parts of the room.

mod base;
mod mariadb;
mod postgres;
#[path = "../freeze/role.rs"]
#[allow(dead_code)] // two test programs share these files
mod role;
mod script;
#[path = "../freeze/world.rs"]
#[allow(dead_code)]
mod world;
