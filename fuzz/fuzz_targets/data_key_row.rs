//! Hostile bytes as a data key's row.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::keys::DataKeyRow);
