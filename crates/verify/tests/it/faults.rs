//! Stores whose every byte is sealed and whole, but that say something wrong:
//! a writer's mistakes. Each must be found, and as what it is.

use backstay_verify::Kind;

use crate::encode::{self, Change, Extent, Kind as Content, Pack};
use crate::fixture::{Fixture, WEB, data, pages};
use crate::vault::{NAME, Vault, machine, point, span, span_suffix};
use crate::whole::open;

/// A whole store, then `wrong`; then a finding of `kind` says `text`.
fn check(kind: Kind, text: &str, wrong: impl FnOnce(&mut Fixture)) {
    let mut fixture = Fixture::new();
    wrong(&mut fixture);
    let report = open(&fixture).check();
    let found = report.findings.iter().any(|finding| finding.kind == kind && finding.to_string().contains(text));
    assert!(found, "no {kind:?} says {text:?} among {:#?}", report.findings);
    assert_eq!(report.exit_status(), 3);
}

fn set(key: &[&[u8]], value: Vec<u8>) -> Change {
    (key.concat(), Some(value))
}

fn delete(key: &[&[u8]]) -> Change {
    (key.concat(), None)
}

/// Changes a row's value in one more entry.
fn change(vault: &mut Vault, key: &[&[u8]], with: impl FnOnce(&mut Vec<u8>)) {
    let mut value = vault.ledger.rows[&key.concat()].clone();
    with(&mut value);
    vault.commit(false, &[set(key, value)]);
}

/// Puts another run in the place of the machine's span from 3 to 4.
fn rerun(fixture: &mut Fixture, extents: &[Extent]) {
    let mut pack = Pack::new([0xb9; 16], [0x39; 32]);
    let mut rows = span(&mut pack, &WEB, 4, 3, 0, extents);
    rows.push(delete(&[b"r", &[0xb3; 16], &span_suffix(&WEB, 4, 3)]));
    rows.extend(fixture.vault.object([0xc9; 16], &[&pack]));
    fixture.vault.commit(false, &rows);
}

#[test]
fn rows_that_are_not_rows() {
    let row = |key: &'static [u8], value: &'static [u8]| {
        move |fixture: &mut Fixture| fixture.vault.commit(false, &[set(&[key], value.to_vec())])
    };
    check(Kind::Row, "kind of row", row(b"z", b"\x01"));
    check(Kind::Row, "within a field", row(b"m12", b"\x01"));
    check(Kind::Row, "within a field", row(b"g1234567890123456", b"\x01\x00"));
    check(Kind::Row, "follow the last field", row(b"g1234567890123456", b"\x01\x01a\x02\x00"));
    check(Kind::Row, "version is 2", row(b"g2234567890123456", b"\x02"));
    check(Kind::Row, "version is 2", row(b"g1234567890123456", b"\x02"));
    check(Kind::Row, "not UTF-8", row(b"n\xff", b"1234567890123456"));
    check(Kind::Row, "follow the last field", |fixture| {
        change(&mut fixture.vault, &[b"k", &[0xb1; 16]], |value| value.push(0));
    });
    check(Kind::Row, "begins where it ends", |fixture| {
        fixture.vault.commit(false, &[set(&[b"r", &[0xb1; 16], &span_suffix(&WEB, 3, 3)], Vec::new())]);
    });
    check(Kind::Row, "kind of row", |fixture| fixture.vault.commit(true, &[set(&[b"q"], vec![1])]));
}

#[test]
fn machines_and_names() {
    check(Kind::Row, "no row finds it", |fixture| fixture.vault.commit(false, &[delete(&[b"n", b"web"])]));
    check(Kind::Row, "called otherwise", |fixture| {
        fixture.vault.commit(false, &[set(&[b"n", b"other"], WEB.to_vec())]);
    });
    check(Kind::Row, "next point is 4", |fixture| fixture.vault.commit(false, &machine(&WEB, "web", 3, 4)));
    check(Kind::Row, "next disk is 2", |fixture| fixture.vault.commit(false, &machine(&WEB, "web", 2, 5)));
    check(Kind::Row, "a slash", |fixture| fixture.vault.commit(false, &machine(&WEB, "a/b", 3, 5)));
    check(Kind::Row, "machine has no row", |fixture| fixture.vault.commit(false, &[delete(&[b"m", &WEB])]));
    check(Kind::Row, "number of a disk is 0", |fixture| fixture.vault.commit(false, &[point(&WEB, 1, &[(0, 5)])]));
    check(Kind::Row, "occurs twice", |fixture| fixture.vault.commit(false, &[point(&WEB, 1, &[(1, 5), (1, 5)])]));
}

#[test]
fn packs_and_their_keys() {
    check(Kind::Key, "no data key", |fixture| fixture.vault.commit(true, &[delete(&[b"d", &[0xb1; 16]])]));
    check(Kind::Key, "has no key", |fixture| fixture.vault.commit(true, &[delete(&[b"b", &[0x13; 16]])]));
    check(Kind::Key, "does not open", |fixture| {
        let other = fixture.vault.table.rows[[b"d".as_slice(), &[0xb2; 16]].concat().as_slice()].clone();
        fixture.vault.commit(true, &[set(&[b"d", &[0xb1; 16]], other)]);
    });
    check(Kind::Reference, "which has no row", |fixture| fixture.vault.commit(false, &[delete(&[b"k", &[0xb1; 16]])]));
    check(Kind::Row, "is banned", |fixture| {
        let since = 0i64.to_le_bytes().to_vec();
        fixture.vault.commit(false, &[set(&[b"x", &[0xc1; 16]], since)]);
    });
    check(Kind::Row, "overlaps pack", |fixture| {
        let place = fixture.vault.ledger.rows[[b"k".as_slice(), &[0xb2; 16]].concat().as_slice()].clone();
        fixture.vault.commit(false, &[set(&[b"k", &[0xb3; 16]], place)]);
    });
    check(Kind::Pack, "of another pack", |fixture| {
        let place = fixture.vault.ledger.rows[[b"k".as_slice(), &[0xb2; 16]].concat().as_slice()].clone();
        fixture.vault.commit(false, &[set(&[b"k", &[0xb3; 16]], place)]);
    });
    check(Kind::Row, "frames and chunks", |fixture| {
        change(&mut fixture.vault, &[b"k", &[0xb1; 16]], |value| *value.last_mut().expect("a count") += 1);
    });
    check(Kind::Pack, "the row something else", |fixture| {
        // Version, object, offset 0, a length of three bytes; then the footer's.
        change(&mut fixture.vault, &[b"k", &[0xb1; 16]], |value| value[21] ^= 1);
    });
}

#[test]
fn references() {
    check(Kind::Reference, "no row says that it refers", |fixture| {
        fixture.vault.commit(false, &[delete(&[b"r", &[0xb1; 16], &span_suffix(&WEB, 3, 2)])]);
    });
    check(Kind::Reference, "but it does not", |fixture| {
        fixture.vault.commit(false, &[set(&[b"r", &[0xb1; 16], &span_suffix(&WEB, 2, 1)], Vec::new())]);
    });
    check(Kind::Reference, "but it has no row", |fixture| {
        fixture.vault.commit(false, &[set(&[b"r", &[0xb1; 16], &span_suffix(&WEB, 4, 2)], Vec::new())]);
    });
}

#[test]
fn runs() {
    let zero = |disk, page, pages| Extent { disk, page, pages, kind: Content::Zero };
    check(Kind::Run, "passes the disk's end", |fixture| rerun(fixture, &[zero(1, 20, 2)]));
    check(Kind::Run, "goes through has a disk 3", |fixture| rerun(fixture, &[zero(3, 0, 1)]));
    check(Kind::Run, "not the one that the extent's tag names", |fixture| {
        let mut wrong = data(1, 0, 1, &fixture.packs[0], 0, 0);
        if let Content::Data(.., id) = &mut wrong.kind {
            id[0] ^= 1;
        }
        rerun(fixture, &[wrong]);
    });
    check(Kind::Run, "fewer pages", |fixture| {
        let wrong = data(1, 0, 3, &fixture.packs[0], 1, 0);
        rerun(fixture, &[wrong]);
    });
    check(Kind::Run, "is gone", |fixture| {
        let wrong = data(1, 0, 1, &fixture.packs[0], 2, 0);
        rerun(fixture, &[wrong]);
    });
    check(Kind::Run, "has no chunk", |fixture| {
        let mut wrong = data(1, 0, 1, &fixture.packs[0], 0, 0);
        if let Content::Data(_, chunk, ..) = &mut wrong.kind {
            *chunk = 99;
        }
        rerun(fixture, &[wrong]);
    });
    check(Kind::Run, "is not a blob", |fixture| {
        change(&mut fixture.vault, &[b"s", &span_suffix(&WEB, 1, 0)], |value| value[17] = 0);
    });
    check(Kind::Row, "extents and pages", |fixture| {
        change(&mut fixture.vault, &[b"s", &span_suffix(&WEB, 1, 0)], |value| value[19] += 1);
    });
}

#[test]
fn timelines() {
    check(Kind::Timeline, "end at 1", |fixture| {
        fixture.vault.commit(false, &[delete(&[b"s", &span_suffix(&WEB, 2, 1)])]);
    });
    check(Kind::Timeline, "no span of level 0 ends there", |fixture| {
        fixture.vault.commit(false, &[delete(&[b"s", &span_suffix(&WEB, 4, 3)])]);
    });
    check(Kind::Timeline, "ends at the same number", |fixture| {
        change(&mut fixture.vault, &[b"s", &span_suffix(&WEB, 3, 1)], |value| *value.last_mut().expect("level") = 0);
    });
    check(Kind::Timeline, "where spans of level 0 do", |fixture| {
        change(&mut fixture.vault, &[b"s", &span_suffix(&WEB, 3, 2)], |value| *value.last_mut().expect("level") = 1);
    });
}

#[test]
fn summaries() {
    let zero = |page| Extent { disk: 1, page, pages: 1, kind: Content::Zero };
    check(Kind::Level, "page 2", |fixture| rerun(fixture, &[zero(2)]));
    check(Kind::Level, "page 18", |fixture| rerun(fixture, &[zero(18)]));
    check(Kind::Level, "disk 2, page 1", |fixture| {
        let wrong = data(2, 1, 1, &fixture.packs[1], 1, 2);
        rerun(fixture, &[wrong]);
    });
}

#[test]
fn summaries_may_take_the_same_chunk_from_elsewhere() {
    let mut fixture = Fixture::new();
    let mut pack = Pack::new([0xb8; 16], [0x38; 32]);
    pack.chunks(&fixture.vault.chunk_key, true, &[&pages(21, 3)]);
    let rows = fixture.vault.object([0xc8; 16], &[&pack]);
    fixture.vault.commit(false, &rows);
    let same = data(2, 1, 2, &pack, 0, 1);
    rerun(&mut fixture, &[same]);
    assert_eq!(open(&fixture).check().findings, []);
}

#[test]
fn ledgers() {
    check(Kind::Ledger, "`previous`", |fixture| {
        let plain = encode::entry(&[9; 32], 0, "wrong", &[]);
        let number = fixture.vault.ledger.head + 1;
        fixture.vault.entry(false, number, &plain);
    });
    check(Kind::Ledger, "is missing", |fixture| {
        let link = fixture.vault.ledger.link;
        let number = fixture.vault.ledger.head + 2;
        fixture.vault.entry(false, number, &encode::entry(&link, 0, "after a gap", &[]));
    });
    check(Kind::Lost, "occurs twice", |fixture| {
        let twice = [delete(&[b"z"]), delete(&[b"z"])];
        fixture.vault.commit(true, &twice);
    });
    check(Kind::Ledger, "something else than", |fixture| {
        // A row that no entry set.
        fixture.vault.ledger.rows.insert(b"cextra".to_vec(), vec![1]);
        fixture.vault.state(false, 5);
    });
    check(Kind::Ledger, "its `last`", |fixture| {
        fixture.vault.ledger.link[0] ^= 1;
        fixture.vault.state(false, 5);
    });
    check(Kind::Lost, "does not open", |fixture| {
        // Another ledger's entry under the name of one of this ledger.
        let of = |ledger| fixture.vault.file(&format!("vault/{NAME}/{ledger}/entry/0000000000000003"));
        std::fs::copy(of("keytable"), of("ledger")).expect("the entry is copied");
    });
    check(Kind::Copy, "belongs to store", |fixture| {
        let path = fixture.vault.file(&format!("vault/{NAME}/ledger/entry/0000000000000003"));
        let mut object = std::fs::read(&path).expect("entry 3");
        let second = object.len().div_ceil(2).next_multiple_of(4096);
        let foreign = encode::copy(3, &[0x99; 16], &object[second + 72..]);
        object.splice(second.., foreign);
        std::fs::write(path, object).expect("the entry is written");
    });
    check(Kind::Copy, "differ", |fixture| {
        let path = fixture.vault.file("backstay.store");
        let mut object = std::fs::read(&path).expect("the header");
        let other = encode::copy(1, &fixture.vault.store, &[0; 12]);
        object.splice(4096.., other);
        std::fs::write(path, object).expect("the header is written");
    });
}

#[test]
fn entries_that_may_not_follow() {
    check(Kind::Ledger, "to which spans refer", |fixture| {
        // Deleted too early, though the row is back at the end.
        let key = [b"k".as_slice(), &[0xb1; 16]];
        let place = fixture.vault.ledger.rows[key.concat().as_slice()].clone();
        fixture.vault.commit(false, &[delete(&key)]);
        fixture.vault.commit(false, &[set(&key, place)]);
    });
    check(Kind::Ledger, "which has no row", |fixture| {
        let key = [b"r".as_slice(), &[0xb7; 16], &span_suffix(&WEB, 4, 3)];
        fixture.vault.commit(false, &[set(&key, Vec::new())]);
        fixture.vault.commit(false, &[delete(&key)]);
    });
    check(Kind::Ledger, "which is banned", |fixture| {
        let mut pack = Pack::new([0xb7; 16], [0x37; 32]);
        pack.blob(false, b"blob");
        let rows = fixture.vault.object([0xee; 16], &[&pack]); // the fixture bans it
        fixture.vault.commit(false, &rows);
    });
}
