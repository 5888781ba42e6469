//! The program as people use it: on real disks, file systems and stores, judged by programs that nobody here wrote.

mod agent_excluded;
mod audit;
mod brought_back;
mod configured;
mod excluded;
mod files;
mod full;
mod keeping;
mod kill;
mod life;
mod limits;
mod live;
mod live_excluded;
mod live_trimmed;
mod machines;
mod refusals;
mod server;
mod server_killed;
mod serving;
mod started;
mod suspended;
mod through;
mod together;
mod tools;
mod two_disks;
mod world;
