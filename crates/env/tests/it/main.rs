//! Tests of the room from outside: real devices, real file systems, real servers.

mod disk;
mod folder;
mod homes;
mod planted;
#[cfg(feature = "s3")]
mod s3;
mod tools;
