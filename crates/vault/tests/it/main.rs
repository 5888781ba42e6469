//! One test binary: no forgotten file.

mod forget;
mod protect;
mod world;
