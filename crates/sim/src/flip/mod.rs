//! Every bit of a small store flipped in turn; every object cut off at every length, and every object gone.
//!
//! After each of these, from a vault opened anew on a copy of the store:
//!
//! 1. machines and points are listed, every disk of every point is read completely: each page is as it was captured, or an
//!    error that names what cannot be vouched for;
//! 2. a flip in what is kept twice costs nothing: all points are there and read as they were, and whatever is done next works;
//! 3. a flip in data kept once costs at most pages, and a check of all data names them;
//! 4. a check, or the opening before it, tells of every harm that could cost anything, and of every flipped bit but those below;
//! 5. another capture, dropping points, merging, reclaiming and folding the ledgers work, or are refused in words that say what is
//!    damaged; nothing that could be read before is lost by them, and the new point reads as it was captured;
//! 6. nothing panics. (That nothing hangs is for the caller to see, who has a clock.)
//!
//! What a check does not tell of, and why that is right: flips in the *zeros between* the copies of a twin, which carry nothing
//! and which nobody reads; what *no row names* in an object of packs, left there when a pack moved; all of the *dedup index*, which is made anew from packs and answers nothing that is not checked; the
//! absence of a *state* or of *parts* that only it names, while the older state and the entries after it are there; the absence
//! of an entry that the newest state includes; and the absence of the *newest entry of the ledger*, to which nothing refers yet.
//!
//! Never knows: threads, real time.

mod harm;
mod judge;
mod look;
mod store;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};

use backstay_env::objects::Objects as _;
use backstay_env::sim::objects::SimObjects;
use backstay_format::names;

use self::harm::{Harm, Harms, Kind, Object};
use self::judge::{Judge, Outcome};
use self::store::Subject;
use crate::Violation;
use crate::run::panic_text;

pub use self::table::Table;

/// A bug to plant into what looks at the store or lives in it. Only for showing that each rule can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// What reads pages takes errors for zeros, as a reader without checksums would.
    VerifiesNothing,
    /// What checks finds nothing.
    ChecksNothing,
    /// What writes twins writes the first copy only.
    WritesOneCopy,
    /// Upkeep takes packs along that are needed.
    UpkeepLosesPacks,
    /// Whoever opens a store with a harmed pack panics.
    Panics,
}

/// The store, and all that can happen to it.
pub struct Book {
    subject: Subject,
    objects: Vec<Object>,
    harms: Harms,
    newest_entry: String,
}

/// What came of one harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its number.
    pub number: u64,
    harm: Harm,
    outcome: Outcome,
    /// What is not right; `None`: everything is.
    pub failure: Option<String>,
}

impl Book {
    /// Makes the store of a seed.
    ///
    /// # Errors
    /// It could not be made.
    pub fn new(seed: u64) -> Result<Book, Violation> {
        let subject = Subject::make(seed)?;
        let objects = Object::all(&subject)?;
        let (harms, newest_entry) = (Harms::of(&objects), subject.newest_entry()?);
        Ok(Book { subject, objects, harms, newest_entry })
    }

    /// How many harms there are, numbered from 0: bits, then lengths, then objects.
    pub fn count(&self) -> u64 {
        self.harms.count()
    }

    /// How many bits there are.
    pub fn bits(&self) -> u64 {
        self.harms.bits()
    }

    /// How many objects there are.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// A harm in words.
    pub fn describe(&self, number: u64) -> String {
        self.harms.get(number).describe(&self.objects)
    }

    /// Does harm to a copy of the store and judges what comes of it. The same number always gives the same verdict. Panics of
    /// the code under test are failures of it, not of the caller.
    ///
    /// # Panics
    /// When there is no harm of that number.
    pub fn judge(&self, number: u64, planted: Option<Planted>) -> Verdict {
        assert!(number < self.count(), "there is no harm {number}");
        let harm = self.harms.get(number);
        let judge = Judge { book: self, harm, planted };
        let (outcome, failure) = match catch_unwind(AssertUnwindSafe(|| judge.judge())) {
            Ok(Ok(outcome)) => (outcome, None),
            Ok(Err(Violation(what))) => (Outcome::default(), Some(what)),
            Err(panic) => (Outcome::default(), Some(panic_text(&*panic))),
        };
        Verdict { number, harm, outcome, failure }
    }

    /// The store without harm: it must be whole, and a check must find nothing.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn is_whole(&self) -> Result<(), Violation> {
        let never = |_: &str| false;
        let seen = look::Looking { truth: &self.subject.truth, names: &never, planted: None };
        let seen = seen.look(&self.subject.home.fork(), true)?;
        let points: usize = self.subject.truth.values().map(std::collections::BTreeMap::len).sum();
        let is_whole = seen.points.len() == points && seen.points.values().all(look::Sight::is_whole);
        let is_clean = seen.findings.as_ref().is_some_and(backstay_vault::check::Findings::is_clean);
        if is_whole && is_clean { Ok(()) } else { Err(Violation(format!("unharmed: {:?}", seen.findings))) }
    }

    /// Whether the newest state of its ledger includes an entry.
    fn is_in_a_state(&self, entry: &Object) -> bool {
        let (of, state) =
            if entry.kind == Kind::Entry { ("ledger", Kind::State) } else { ("keytable", Kind::KeyState) };
        let number = |object: &Object| names::number_of(object.key.as_str());
        let states = self.objects.iter().filter(|o| o.kind == state).filter_map(number);
        entry.key.as_str().contains(of) && number(entry) <= states.max()
    }

    fn lose_packs(&self, home: &SimObjects) {
        let packs = self.objects.iter().filter(|o| o.kind == Kind::Pack);
        packs.for_each(|object| drop(home.delete(&object.key)));
    }
}
