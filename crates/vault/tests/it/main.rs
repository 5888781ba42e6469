//! One test binary: no forgotten file.

mod check;
mod drafts;
mod follow;
mod forget;
mod protect;
mod start_over;
mod world;
