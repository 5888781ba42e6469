//! Every small object, in both copies, and names that should not be there.
//!
//! Never knows: what rows say.

use crate::book::{Source, neither};
use crate::crypt::open_box;
use crate::keys;
use crate::ledger::{Domain, entry, state};
use crate::reader::Reader;
use crate::report::{Kind, Report};
use crate::twin::{What, store_header, twin};

pub(super) fn check(reader: &Reader, report: &mut Report) {
    header(reader, report);
    slots(reader, report);
    for source in sources(reader) {
        numbered(reader, &source, "entry", What::Entry, report, |payload, number| {
            let plain = open(&source, "backstay entry 1", payload, number)?;
            entry(&plain).map(drop).map_err(|e| e.to_string())
        });
        numbered(reader, &source, "state", What::State, report, |payload, number| {
            let plain = open(&source, "backstay state 1", payload, number)?;
            state(&plain).map(drop).map_err(|e| e.to_string())
        });
        numbered(reader, &source, "parts", What::Parts, report, |_, _| Ok(()));
    }
    names(reader, report);
}

/// Both ledgers of the vault.
pub(super) fn sources(reader: &Reader) -> [Source<'_>; 2] {
    let of = |domain, key| Source::new(&reader.folder, &reader.vault, reader.store, reader.vault_id, domain, key);
    [of(Domain::Ledger, &reader.keys.ledger), of(Domain::KeyTable, &reader.keys.table)]
}

fn open(source: &Source<'_>, purpose: &str, payload: &[u8], number: u64) -> Result<Vec<u8>, String> {
    let aad = source.domain.aad(purpose, source.vault, &[number]);
    open_box(source.key, &aad, payload).map_err(|e| e.to_string())
}

fn header(reader: &Reader, report: &mut Report) {
    object(reader, "backstay.store", What::StoreHeader, report, |payload| {
        store_header(payload).map(drop).map_err(|e| e.to_string())
    });
}

fn slots(reader: &Reader, report: &mut Report) {
    let prefix = format!("vault/{}/keys", reader.vault);
    let names = listed(reader.folder.list(&prefix), &prefix, report);
    for name in names {
        let place = format!("{prefix}/{name}");
        if name.len() != 4 || !name.bytes().all(|digit| digit.is_ascii_digit()) {
            report.note(format!("{place} is not the name of a key slot"));
            continue;
        }
        object(reader, &place, What::KeySlot, report, |payload| {
            let slot = keys::slot(payload).map_err(|e| e.to_string())?;
            if slot.vault == reader.vault_id { Ok(()) } else { Err(format!("it is of vault {}", slot.vault)) }
        });
    }
}

fn numbered(
    reader: &Reader,
    source: &Source<'_>,
    kind: &str,
    what: What,
    report: &mut Report,
    inside: impl Fn(&[u8], u64) -> Result<(), String>,
) {
    let prefix = format!("{}/{kind}", source.place);
    let found = listed(reader.folder.numbered(&prefix), &prefix, report);
    for name in found.others {
        report.note(format!("{prefix}/{name} is not the name of an object"));
    }
    for number in found.numbers {
        object(reader, &source.name(kind, number), what, report, |payload| inside(payload, number));
    }
}

/// Checks both copies of one object, and what is inside of each.
fn object(reader: &Reader, name: &str, what: What, report: &mut Report, inside: impl Fn(&[u8]) -> Result<(), String>) {
    report.seen.twins += 1;
    let bytes = match reader.folder.read(name) {
        Ok(bytes) => bytes,
        Err(e) => return report.find(Kind::Lost, name, e),
    };
    let store = if what == What::StoreHeader { None } else { Some(reader.store) };
    let pair = twin(&bytes, what, store);
    if pair.any().is_none() {
        return report.find(Kind::Lost, name, neither(&pair));
    }
    if let Err(fault) = &pair.whole {
        report.find(Kind::Copy, name, fault);
    }
    let told = [("first", &pair.first), ("second", &pair.second)].map(|(which, copy)| {
        let sound = copy.as_ref().map_err(|fault| fault.to_string());
        sound.and_then(|copy| inside(copy.payload)).map_err(|e| format!("{which} copy: {e}"))
    });
    let kind = if told.iter().all(|copy| copy.is_err()) { Kind::Lost } else { Kind::Copy };
    for fault in told.into_iter().filter_map(Result::err) {
        report.find(kind, name, fault);
    }
}

fn listed<T: Default>(result: std::io::Result<T>, place: &str, report: &mut Report) -> T {
    result.unwrap_or_else(|e| {
        report.find(Kind::Lost, place, e);
        T::default()
    })
}

/// Names that no page describes.
fn names(reader: &Reader, report: &mut Report) {
    let vault = format!("vault/{}", reader.vault);
    let known: [(&str, &[&str]); 2] =
        [("", &["backstay.store", "vault"]), (&vault, &["keys", "ledger", "keytable", "pack", "index"])];
    for (prefix, names) in known {
        for name in listed(reader.folder.list(prefix), prefix, report) {
            if !names.contains(&name.as_str()) {
                let place = format!("{prefix}/{name}");
                report.note(format!("{} is described by no page", place.trim_start_matches('/')));
            }
        }
    }
    for name in listed(reader.folder.list("vault"), "vault", report) {
        let letters = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !letters || !(1..=32).contains(&name.len()) {
            report.find(Kind::Store, format!("vault/{name}"), "is not the name of a vault");
        }
    }
    objects(reader, &vault, report);
}

/// Objects of packs that no row names: what a crash may leave.
fn objects(reader: &Reader, vault: &str, report: &mut Report) {
    let named: std::collections::BTreeSet<String> =
        reader.catalog.packs.values().map(|place| reader.packs.object(place.object)).collect();
    let prefix = format!("{vault}/pack");
    for hh in listed(reader.folder.list(&prefix), &prefix, report) {
        let prefix = format!("{prefix}/{hh}");
        for name in listed(reader.folder.list(&prefix), &prefix, report) {
            let place = format!("{prefix}/{name}");
            if !named.contains(&place) {
                report.note(format!("{place} holds no pack that a row names"));
            }
        }
    }
}
