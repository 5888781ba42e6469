//! The fault table as numbers: what may happen to which objects in a run.
//!
//! Never knows: what a run does.

use backstay_env::sim::objects::{Fault, Faults, Injected, Zone};
use backstay_env::sim::random::Dice;

/// What kind of world a run is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Climate {
    /// Disks keep what they are given.
    Fair,
    /// Every fault that is to cost nothing.
    Rough,
    /// As rough, and packs are damaged.
    Rot,
    /// Disks lie about the ledger.
    Liar,
}

impl Climate {
    pub(crate) fn choose(dice: &mut Dice) -> Climate {
        match dice.below(100) {
            0..45 => Climate::Fair,
            45..75 => Climate::Rough,
            75..90 => Climate::Rot,
            _ => Climate::Liar,
        }
    }

    /// What may happen. `early_sight`: see [`Faults`].
    pub(crate) fn faults(self, early_sight: bool) -> Faults {
        let zones = match self {
            Climate::Fair => Vec::new(),
            Climate::Rough => rough(HARMLESS_TO_PACKS),
            Climate::Rot => rough(ROT),
            Climate::Liar => LIES.iter().map(|(prefix, zone)| (format!("vault/{prefix}"), *zone)).collect(),
        };
        Faults { zones, early_sight, ..Faults::default() }
    }
}

const CLEAN: Zone = Zone { torn_ppm: 0, lost_ppm: 0, undeleted_ppm: 0, misdirected_ppm: 0, flipped_ppm: 0, damages: 0 };
/// What is kept twice: one block of each object may be damaged.
const TWIN: Zone = Zone { undeleted_ppm: 200_000, misdirected_ppm: 20_000, flipped_ppm: 4_000, damages: 1, ..CLEAN };
/// What nothing names before it is durable.
const TWIN_UNNAMED: Zone = Zone { torn_ppm: 400_000, ..TWIN };
/// What can be made anew.
const INDEX: Zone = Zone {
    torn_ppm: 400_000,
    lost_ppm: 200_000,
    undeleted_ppm: 200_000,
    misdirected_ppm: 50_000,
    flipped_ppm: 20_000,
    damages: 8,
};
const HARMLESS_TO_PACKS: Zone = Zone { torn_ppm: 400_000, undeleted_ppm: 200_000, ..CLEAN };
const ROT: Zone = Zone {
    torn_ppm: 400_000,
    lost_ppm: 20_000,
    undeleted_ppm: 200_000,
    misdirected_ppm: 10_000,
    flipped_ppm: 1_500,
    damages: 2,
};
const LIES: [(&str, Zone); 4] = [
    ("main/ledger/entry", Zone { torn_ppm: 400_000, lost_ppm: 30_000, ..CLEAN }),
    ("main/keytable/entry", Zone { torn_ppm: 400_000, lost_ppm: 30_000, ..CLEAN }),
    ("main/ledger", Zone { torn_ppm: 400_000, lost_ppm: 200_000, ..CLEAN }),
    ("main/keytable", Zone { torn_ppm: 400_000, lost_ppm: 200_000, ..CLEAN }),
];

fn rough(packs: Zone) -> Vec<(String, Zone)> {
    let zones = [
        ("backstay.store", TWIN),
        ("vault/main/keys", TWIN),
        ("vault/main/ledger/entry", TWIN),
        ("vault/main/keytable/entry", TWIN),
        ("vault/main/ledger/", TWIN_UNNAMED),
        ("vault/main/keytable/", TWIN_UNNAMED),
        ("vault/main/index", INDEX),
        ("vault/main/pack", packs),
    ];
    zones.into_iter().map(|(prefix, zone)| (prefix.to_owned(), zone)).collect()
}

/// What of the world's faults so far is more than what costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Harm {
    /// A copy of something was damaged: a check is to say so.
    pub(crate) copies: bool,
    /// Packs were damaged.
    pub(crate) packs: bool,
    /// What the ledger consists of was lost or torn.
    pub(crate) ledger: bool,
}

impl Harm {
    /// Adds what was injected since.
    pub(crate) fn add(&mut self, climate: Climate, injected: &[Injected]) {
        for Injected { fault, .. } in injected {
            let (key, torn_or_lost) = match fault {
                Fault::Flipped { key, .. } | Fault::Misdirected { key, .. } => (key, false),
                Fault::Torn { key } | Fault::Lost { key } => (key, true),
                _ => continue,
            };
            let name = key.as_str();
            let (pack, index) = (name.starts_with("vault/main/pack"), name.starts_with("vault/main/index"));
            // Where disks lie about packs, one that is torn may have been acknowledged.
            let torn_pack = pack && matches!(fault, Fault::Torn { .. }) && climate != Climate::Rot;
            if index || torn_pack {
                continue;
            }
            self.copies = true;
            self.packs |= pack;
            let torn_state = matches!(fault, Fault::Torn { .. }) && !name.contains("/entry/");
            self.ledger |= !pack && torn_or_lost && !torn_state;
        }
    }

    /// Whether everything must still be as if nothing had happened.
    pub(crate) fn is_none(self) -> bool {
        !self.packs && !self.ledger
    }
}
