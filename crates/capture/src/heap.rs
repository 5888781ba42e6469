//! The memory that this process allocates.
//!
//! Never knows: what for.
#![allow(unsafe_code)]

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    /// Of the GNU C library: gives free pages of all arenas to the system, but for `pad` bytes at the top of the first.
    fn malloc_trim(pad: usize) -> std::ffi::c_int;
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
