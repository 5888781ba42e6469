//! Hostile bytes as a machine's row.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::rows::MachineRow);
