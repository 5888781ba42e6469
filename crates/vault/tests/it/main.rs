//! One test binary: no forgotten file.

mod check;
mod drafts;
mod far;
mod follow;
mod forget;
mod gap;
mod protect;
mod start_over;
mod world;
