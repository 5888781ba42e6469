//! Hostile bytes as a key of the table of data keys.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::keys::TableKey);
