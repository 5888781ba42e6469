//! One test binary: no forgotten file.

mod check;
mod forget;
mod protect;
mod world;
