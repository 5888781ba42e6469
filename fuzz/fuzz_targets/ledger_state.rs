//! Hostile bytes as the folded state of the ledger.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::ledger::State);
