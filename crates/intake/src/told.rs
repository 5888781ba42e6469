//! What the vault says, as agents are told it; and what it is told by them.
//!
//! Never knows: when.

use backstay_env::objects::ObjectError;
use backstay_format::rows::{Consistency, DiskAt, Exclusion};
use backstay_format::wire::v1::{BoundaryTold, CauseTold, DiskTold, MadeTold, Refusal, ToAgent};
use backstay_vault::VaultError;
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Boundary, DiskFacts, Made};

use crate::clock::Shift;

pub(crate) fn boundary(at: &Boundary) -> BoundaryTold {
    let row = &at.machine.row;
    BoundaryTold {
        machine: at.machine.id.0,
        name: row.name.clone(),
        created: row.created.0,
        next_disk: row.next_disk.0,
        next_point: row.next_point.0,
        number: at.number.0,
        begun: at.begun.map(|begun| begun.0),
        disks: at.disks.iter().map(Into::into).collect(),
    }
}

pub(crate) fn made(made: &Made) -> MadeTold {
    let row = &made.point.row;
    MadeTold {
        at: boundary(&made.boundary()),
        time: row.time.0,
        started: row.started.0,
        committed: row.committed.0,
        still: row.consistency == Consistency::Still,
        note: row.note.clone(),
        read: row.read,
        changed: row.changed,
        stored: row.stored,
        held: row.held,
        started_over: made.started_over,
    }
}

pub(crate) fn facts(disk: DiskTold) -> DiskFacts {
    let DiskTold { name, origin, size, sector, used, exclusions } = disk;
    let exclusions = exclusions.into_iter().map(|(rule, bytes)| Exclusion { rule, bytes }).collect();
    DiskFacts { name, origin, size, sector, used, exclusions }
}

pub(crate) fn consistency(still: bool) -> Consistency {
    if still { Consistency::Still } else { Consistency::Fuzzy }
}

/// What is promised, and why there was nothing, by the clock here.
pub(crate) fn promise(every: u64, causes: Vec<CauseTold>, shift: Shift) -> Promise {
    let by_clock = |told: CauseTold| {
        let since = shift.moment(told.since);
        backstay_format::rows::gap::Cause { since, ..told.into() }
    };
    let mut causes: Vec<_> = causes.into_iter().map(by_clock).collect();
    causes.sort_by_key(|cause| cause.since);
    Promise { every, causes }
}

/// The disks with these numbers, in this order; `None` if there are no such.
pub(crate) fn ordered(disks: &[DiskAt], numbers: &[u32]) -> Option<Vec<DiskAt>> {
    numbers.iter().map(|number| disks.iter().find(|disk| disk.disk.0 == *number).cloned()).collect()
}

/// Why a request is refused. No more than the agent can do something about: the rest is for the server's log.
pub(crate) fn refusal(error: &VaultError) -> ToAgent {
    let (kind, why) = match error {
        VaultError::Overtaken => (Refusal::Overtaken, error.to_string()),
        VaultError::Home(ObjectError::NoSpace(_)) => (Refusal::NoSpace, "the server's store is full".into()),
        VaultError::Home(_) => (Refusal::Store, "the server cannot reach its store".into()),
        VaultError::Cancelled => (Refusal::Ending, "the server is stopping".into()),
        VaultError::BadName(_) => (Refusal::Denied, error.to_string()),
        VaultError::Source { name, source } => (Refusal::Other, format!("{name} could not be read: {source}")),
        _ => (Refusal::Other, "the server could not do it; its log says why".into()),
    };
    ToAgent::Refused { kind, why }
}
