//! Every byte at rest: units, and the encoding and decoding of each object, as `docs/format` describes them.
//!
//! Never knows: keys, I/O, the clock, or why anything is written. Decoders are total: any bytes give a value or a
//! [`DecodeError`], without panic and without allocating more than a small multiple of the input.

pub mod codec;
pub mod keys;
pub mod ledger;
pub mod map;
pub mod names;
pub mod pack;
pub mod rows;
pub mod served;
pub mod twin;
pub mod units;
pub mod wire;

pub use codec::DecodeError;
