//! The memory that this process allocates.
//!
//! Never knows: what for.
#![allow(unsafe_code)]

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    /// Of the GNU C library: gives free pages of all arenas to the system, but for `pad` bytes at the top of the first.
    fn malloc_trim(pad: usize) -> std::ffi::c_int;
    /// Of the GNU C library, too: sets one of its parameters.
    fn mallopt(parameter: std::ffi::c_int, value: std::ffi::c_int) -> std::ffi::c_int;
}

/// mallopt(3): the number of heaps that threads are spread over.
#[cfg(target_env = "gnu")]
const M_ARENA_MAX: std::ffi::c_int = -8;

/// Has threads that begin from now on share so many heaps: each of its own keeps what it freed, which for a process that works for a
/// moment every few seconds, on many threads, is most of its memory. Does nothing where the C library is another.
pub fn share(heaps: u8) {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time, from any thread; heaps that are there stay.
    unsafe {
        mallopt(M_ARENA_MAX, heaps.into());
    }
}

/// Gives memory that was freed back to the machine: after great work that does not come again soon. The allocator keeps it
/// otherwise, for each thread that ever worked. Does nothing where the C library is another.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time, from any thread; touches only what is free.
    unsafe {
        malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_in_use_stays() {
        let threads = (0..4).map(|n: u8| std::thread::spawn(move || vec![n; 8 << 20]));
        let filled: Vec<Vec<u8>> = threads.map(|thread| thread.join().expect("ends")).collect();
        super::give_back();
        assert!(filled.iter().zip(0..).all(|(bytes, n)| bytes.iter().all(|byte| *byte == n)));
    }
}
