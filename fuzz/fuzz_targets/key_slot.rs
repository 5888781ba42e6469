//! Hostile bytes as a passphrase's slot of the key file.
#![no_main]

backstay_fuzz::round_trip!(backstay_format::keys::KeySlot);
