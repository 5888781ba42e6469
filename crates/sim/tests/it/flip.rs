//! A slice of all the harm that can be done to a small store; `cargo xtask flip` does all of it. And that it can fail.
//!
//! Never knows: what is right.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use backstay_sim::flip::{Book, Planted, Table, Verdict};

fn book() -> Book {
    let book = Book::new(1).unwrap();
    book.is_whole().unwrap();
    book
}

/// Judges some harms on all processors.
fn judge(book: &Book, numbers: &[u64]) -> (Table, Vec<Verdict>) {
    let next = AtomicU64::new(0);
    let state = Mutex::new((Table::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let verdict = book.judge(*number, None);
                    let mut state = state.lock().unwrap();
                    state.0.add(book, &verdict);
                    state.1.extend(verdict.failure.is_some().then_some(verdict));
                }
            });
        }
    });
    state.into_inner().unwrap()
}

fn is_right(book: &Book, numbers: &[u64]) -> Table {
    let (table, failures) = judge(book, numbers);
    let told = failures.iter().take(5).map(|v| format!("{}: {}: {:?}", v.number, book.describe(v.number), v.failure));
    println!("{table}");
    assert!(failures.is_empty(), "{} are wrong: {:#?}", failures.len(), told.collect::<Vec<_>>());
    assert_eq!(table.done(), numbers.len() as u64);
    table
}

#[test]
fn flipped_bits_and_cut_objects_are_never_silently_wrong() {
    let book = book();
    let slice: Vec<u64> = (0..book.count()).step_by(1499).collect();
    let table = is_right(&book, &slice);
    // The parts of eight kinds of twins, of packs and of the index; and cut off: all kinds.
    assert!(table.rows() >= 3 * 8 + 2 + 1 + 10, "some kind of harm was not done: {table}");
}

#[test]
fn missing_objects_are_never_silently_wrong() {
    let book = book();
    let gone: Vec<u64> = (book.count() - book.objects() as u64..book.count()).collect();
    assert_eq!(is_right(&book, &gone).rows(), 10, "some kind of object is not there");
}

#[test]
fn the_store_has_everything_and_is_small() {
    let book = book();
    assert!((40 << 10..120 << 10).contains(&(book.bits() / 8)), "{} bytes", book.bits() / 8);
    assert!(book.count() > book.bits() + book.bits() / 8);
}

#[test]
fn one_harm_has_one_outcome() {
    let (book, again) = (book(), book());
    for number in (0..book.count()).step_by(99_991) {
        assert_eq!(book.describe(number), again.describe(number));
        assert_eq!(book.judge(number, None), again.judge(number, None));
    }
}

/// A planted bug is caught within a slice.
fn is_caught(planted: Planted) {
    let book = book();
    let mut slice = (0..book.count()).step_by(4_999);
    let caught = slice.find_map(|number| book.judge(number, Some(planted)).failure.map(|why| (number, why)));
    let (number, why) = caught.unwrap_or_else(|| panic!("{planted:?} went unnoticed"));
    println!("{planted:?}: {}: {why}", book.describe(number));
    assert_eq!(book.judge(number, None).failure, None, "it is wrong without the bug, too");
}

#[test]
fn a_reader_that_verifies_nothing_is_caught() {
    is_caught(Planted::VerifiesNothing);
}

#[test]
fn a_check_that_finds_nothing_is_caught() {
    is_caught(Planted::ChecksNothing);
}

#[test]
fn a_writer_of_one_copy_is_caught() {
    is_caught(Planted::WritesOneCopy);
}

#[test]
fn upkeep_that_loses_packs_is_caught() {
    is_caught(Planted::UpkeepLosesPacks);
}

#[test]
fn a_panic_is_caught() {
    is_caught(Planted::Panics);
}
