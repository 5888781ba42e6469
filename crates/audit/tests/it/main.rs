//! Tests of the log from outside.

mod appending;
mod world;
