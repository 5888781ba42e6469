//! One kind of harm to one copy of the store: what is seen then, what can still be done, and whether that is right.
//!
//! Never knows: how a vault survives it.

use std::collections::{BTreeMap, BTreeSet};

use backstay_env::sim::objects::SimObjects;
use backstay_vault::check::Findings;
use backstay_vault::{Vault, VaultError};

use super::harm::{Harm, Kind, Object, Part};
use super::look::{Looking, Seen, Sight};
use super::store::{ALPHA, Subject, Truth, seams};
use super::{Book, Planted};
use crate::Violation;
use crate::act::{Act, Drop, perform};
use crate::disk::PAGE;
use crate::model::Effect;
use crate::ripe::{PASSPHRASE, TUNING, VAULT};

/// What was seen of points, by machine and number.
type Sights = BTreeMap<(String, u64), Sight>;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// A check, or whatever came before it, told of damage.
    pub(super) noticed: bool,
    /// Every point is there and reads as it was.
    pub(super) whole: bool,
    /// Something that was asked for afterwards was refused.
    pub(super) refused: bool,
}

pub(super) struct Judge<'a> {
    pub(super) book: &'a Book,
    pub(super) harm: Harm,
    pub(super) planted: Option<Planted>,
}

fn bad<T>(what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation(what.into()))
}

impl Judge<'_> {
    /// # Errors
    /// What is not right.
    pub(super) fn judge(&self) -> Result<Outcome, Violation> {
        let home = self.subject().home.fork();
        self.harm.inflict(&home, &self.book.objects)?;
        self.spoil(&home);
        let truth = &self.subject().truth;
        let seen = self.looking(truth, &self.names()).look(&home, true)?;
        let noticed = self.hold(&seen)?;
        let refused = self.live_on(&home, seen.points.clone())?;
        let whole = seen.told.is_empty() && seen.points.values().all(Sight::is_whole) && !self.lacks(&seen);
        Ok(Outcome { noticed, whole, refused })
    }

    fn subject(&self) -> &Subject {
        &self.book.subject
    }

    fn object(&self) -> &Object {
        &self.book.objects[self.harm.object()]
    }

    fn looking<'a>(&self, truth: &'a Truth, names: &'a dyn Fn(&str) -> bool) -> Looking<'a> {
        Looking { truth, names, planted: self.planted }
    }

    /// Whether an error says what is the matter: the object, or the pack that cannot be opened without it.
    fn names(&self) -> impl Fn(&str) -> bool + use<> {
        let (key, kind) = (self.object().key.as_str().to_owned(), self.object().kind);
        let entry = match kind {
            Kind::Entry | Kind::KeyEntry => backstay_format::names::number_of(&key),
            _ => None,
        };
        move |text| match kind {
            Kind::Header => [&*key, "header", "no store"].iter().any(|word| text.contains(word)),
            Kind::Slot => text.contains(&key) || text.contains("no vault"),
            Kind::Index => false,
            _ => {
                let gap = entry.is_some_and(|number| text.contains(&format!("ledger entry {number} is missing")));
                gap || text.contains(&key) || text.contains("pack ")
            }
        }
    }

    /// Harm that must not cost anything.
    fn is_harmless(&self) -> bool {
        let object = self.object();
        let copy_is_left = match self.harm {
            Harm::Flip { .. } => true,
            Harm::Cut { len, .. } => len >= object.first_copy(),
            Harm::Gone { .. } => false,
        };
        match object.kind {
            Kind::Index => true,
            Kind::Pack => match self.harm {
                Harm::Flip { bit, .. } => object.part(bit / 8) != Part::Frames,
                Harm::Cut { len, .. } => len >= object.needed(),
                Harm::Gone { .. } => object.needed() == 0,
            },
            // An older one and the entries after it are still there.
            Kind::State | Kind::KeyState => true,
            Kind::Entry | Kind::KeyEntry => copy_is_left || self.book.is_in_a_state(object),
            _ => copy_is_left,
        }
    }

    /// Harm that a check must tell of, as it reads everything that anyone needs, both copies of it.
    fn is_to_be_noticed(&self) -> bool {
        let object = self.object();
        match (self.harm, object.kind) {
            // It is made anew from the packs, and answers nothing that is not checked.
            (_, Kind::Index) => false,
            (Harm::Flip { bit, .. }, _) => !matches!(object.part(bit / 8), Part::Padding | Part::Unnamed),
            (Harm::Cut { len, .. }, _) => len < object.needed(),
            (Harm::Gone { .. }, Kind::Pack) => object.needed() > 0,
            (Harm::Gone { .. }, Kind::Header | Kind::Slot) => true,
            (Harm::Gone { .. }, Kind::Entry | Kind::KeyEntry) => {
                !self.is_the_newest_entry() && !self.book.is_in_a_state(object)
            }
            // Nobody needs it while another state, that of the same rows, is there.
            (Harm::Gone { .. }, _) => false,
        }
    }

    /// Nothing refers to the newest entry of the ledger: without it the ledger is as it was before.
    fn is_the_newest_entry(&self) -> bool {
        matches!(self.harm, Harm::Gone { .. }) && self.object().key.as_str() == self.book.newest_entry
    }

    /// Whether points are missing that must be there.
    fn lacks(&self, seen: &Seen) -> bool {
        let excused = |name: &str, number: u64| {
            let (machine, newest) = &self.subject().newest;
            self.is_the_newest_entry() && (name, number) == (machine.as_str(), *newest)
        };
        let all = self.subject().truth.iter().flat_map(|(name, points)| points.keys().map(move |n| (name, *n)));
        all.filter(|(name, n)| !excused(name, *n)).any(|(name, n)| !seen.points.contains_key(&(name.clone(), n)))
    }

    /// Holds what is seen against what it may be. Says whether damage was told.
    fn hold(&self, seen: &Seen) -> Result<bool, Violation> {
        let lacks = self.lacks(seen);
        let damaged = !seen.points.values().all(Sight::is_whole);
        if self.is_harmless() && (lacks || damaged || !seen.told.is_empty()) {
            return bad(format!("it should cost nothing, but: points are missing: {lacks}, told: {:?}", seen.told));
        }
        let silent = self.planted == Some(Planted::ChecksNothing);
        let found = seen.findings.as_ref().is_some_and(|f| !f.is_clean()) && !silent;
        let noticed = found || !seen.told.is_empty();
        if lacks && seen.told.is_empty() {
            return bad("points are missing, and nothing says so");
        }
        if damaged && !noticed {
            return bad("points cannot be read, and a check finds nothing");
        }
        if self.is_to_be_noticed() && !noticed {
            return bad("a check does not notice");
        }
        let names = self.names();
        if let Some(findings) = seen.findings.as_ref().filter(|f| !f.is_clean())
            && !findings.defects.iter().any(|defect| names(defect))
        {
            return bad(format!("a check does not say what is damaged: {:?}", findings.defects));
        }
        match &seen.findings {
            Some(findings) => self.is_named(seen, findings).map(|()| noticed),
            None if seen.opened => bad("a check ended with an error, not with findings"),
            None => Ok(noticed),
        }
    }

    /// What cannot be read is named by the check, too.
    fn is_named(&self, seen: &Seen, findings: &Findings) -> Result<(), Violation> {
        // Where a map cannot be read but its summary can, what it refers to is not known to a check.
        if findings.defects.iter().any(|defect| defect.contains("map")) {
            return Ok(());
        }
        for ((machine, point), sight) in &seen.points {
            let Sight::Read(named) = sight else { continue };
            let is_covered = |(disk, page): &&(u32, u64)| {
                findings.losses.iter().any(|loss| {
                    let when = loss.from.0 <= *point && loss.until.is_none_or(|until| *point <= until.0);
                    loss.machine == *machine && loss.disk.0 == *disk && loss.bytes.contains(&(page * PAGE)) && when
                })
            };
            if let Some((disk, page)) = named.iter().find(|page| !is_covered(page)) {
                let place = format!("machine {machine}, point {point}, disk {disk}, page {page}");
                return bad(format!("{place} cannot be read, and a check does not name it"));
            }
        }
        match self.harm {
            Harm::Flip { .. } => are_lost(seen, findings),
            _ => Ok(()),
        }
    }

    /// Goes on with the store: another point, then upkeep. What could be had before must be there after each. Says whether
    /// anything was refused.
    fn live_on(&self, home: &SimObjects, mut before: Sights) -> Result<bool, Violation> {
        let mut truth = self.subject().truth.clone();
        let mut refused = false;
        let alpha = || ALPHA.to_owned();
        let capture = vec![Act::Protect(self.subject().next.clone()), Act::Settle(alpha())];
        let upkeep = vec![Act::Forget(alpha(), Drop::EverySecond), Act::Consolidate(alpha()), Act::Reclaim];
        for (after, acts, days) in [("a capture", capture, 2), ("upkeep", upkeep, 40)] {
            refused |= self.act(home, (&acts, days), &mut truth, &mut before)?;
            let seen = self.looking(&truth, &self.names()).look(home, false)?;
            for ((machine, number), sight) in &before {
                let now = seen.points.get(&(machine.clone(), *number));
                if !now.is_some_and(|now| now.is_no_worse_than(sight)) {
                    let place = format!("machine {machine}, point {number}");
                    return bad(format!("{place} was {sight:?}, and is {now:?} after {after}"));
                }
            }
            before = seen.points;
        }
        if refused && matches!(self.harm, Harm::Flip { .. }) && self.is_harmless() {
            return bad("it should cost nothing, but something was refused");
        }
        Ok(refused)
    }

    /// Does it, in a process of its own. Says whether anything was refused, which must be in words, and for damage.
    fn act(
        &self,
        home: &SimObjects,
        (acts, days): (&[Act], i64),
        truth: &mut Truth,
        before: &mut Sights,
    ) -> Result<bool, Violation> {
        let names = self.names();
        let refusal = |error: &VaultError, what: &str| {
            let told = self.looking(&Truth::new(), &names).tell(error, &mut Seen::default());
            told.map_err(|Violation(why)| Violation(format!("{what} was refused: {why}")))
        };
        let vault = match Vault::open(seams(home, days), VAULT, PASSPHRASE) {
            Ok(vault) => vault.with_tuning(TUNING),
            Err(error) => return refusal(&error, "opening").map(|()| true),
        };
        let mut refused = false;
        for act in acts {
            let done = perform(&vault, act);
            if let Some(error) = &done.error {
                refused = true;
                refusal(error, &done.what)?;
            }
            let Some(points) = done.machine.and_then(|machine| truth.get_mut(&machine)) else { continue };
            match done.effect {
                Some(Effect::Made(number, shot)) => drop(points.insert(number, shot)),
                Some(Effect::Gone(numbers) | Effect::MaybeGone(numbers)) => {
                    let gone: BTreeSet<u64> = numbers.into_iter().collect();
                    before.retain(|(machine, number), _| machine != ALPHA || !gone.contains(number));
                    if done.error.is_none() {
                        points.retain(|number, _| !gone.contains(number));
                    }
                }
                _ => {}
            }
        }
        if let Err(error) = self.subject().fold(home) {
            refused = true;
            refusal(&VaultError::from(error), "writing a state")?;
        }
        if self.planted == Some(Planted::UpkeepLosesPacks) {
            self.book.lose_packs(home);
        }
        Ok(refused)
    }

    /// A bug that is planted before anyone looks.
    fn spoil(&self, home: &SimObjects) {
        let object = self.object();
        match self.planted {
            Some(Planted::WritesOneCopy) if object.kind.is_twin() => {
                let end = object.first_copy();
                home.tamper(&object.key, |bytes| bytes.iter_mut().skip(end).for_each(|byte| *byte = 0));
            }
            Some(Planted::Panics) if object.kind == Kind::Pack => panic!("planted"),
            _ => {}
        }
    }
}

/// What a check says is lost cannot be read, either.
fn are_lost(seen: &Seen, findings: &Findings) -> Result<(), Violation> {
    for loss in &findings.losses {
        let has_it = |number: u64| loss.from.0 <= number && loss.until.is_none_or(|until| number <= until.0);
        let points = seen.points.iter().filter(|((machine, number), _)| *machine == loss.machine && has_it(*number));
        for ((_, number), sight) in points {
            let Sight::Read(named) = sight else { continue };
            let mut pages = loss.bytes.start / PAGE..loss.bytes.end.div_ceil(PAGE);
            if let Some(page) = pages.find(|page| !named.contains(&(loss.disk.0, *page))) {
                return bad(format!("{loss:?} is said to be lost, but page {page} of point {number} can be read"));
            }
        }
    }
    Ok(())
}
