//! The program as people use it: on real disks, file systems and stores, judged by programs that nobody here wrote.

mod life;
mod tools;
mod world;
