//! Hostile bytes as the header of a store.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::twin::StoreHeader);
