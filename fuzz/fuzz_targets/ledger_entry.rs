//! Hostile bytes as an entry of the ledger.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::ledger::Entry);
