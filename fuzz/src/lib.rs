//! What the fuzz targets share. Run them with `cargo xtask fuzz`; one target for every decoder.
//!
//! Never knows: the engines; a decoder is fed bytes and nothing else, but for the one that holds whole sessions.

pub mod liar;

/// A target for a type with `decode` and `encode`: any bytes give a value or an error, and a value that was decoded
/// survives a round trip.
#[macro_export]
macro_rules! round_trip {
    ($type:ty) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            if let Ok(value) = <$type>::decode(bytes) {
                let again = value.encode();
                assert_eq!(<$type>::decode(&again), Ok(value));
            }
        });
    };
}
