//! One test binary: no forgotten file.

mod check;
mod drafts;
mod far;
mod follow;
mod forget;
mod gap;
mod likely;
mod points;
mod protect;
mod start_over;
mod world;
