//! Rows of a part that is lost, from an older state and the entries since: these are kept for that.
//!
//! Never knows: how parts are written.

use std::ops::Bound;
use std::sync::Arc;

use backstay_env::objects::ObjectError;
use backstay_format::ledger::Rows;

use super::LedgerError;
use super::io::LedgerIo;
use super::view::{StateAt, View};

/// The rows that a state has in a range of keys. `lost`: why they cannot be read there.
///
/// # Errors
/// `lost`, if there is no other way. [`LedgerError::Home`], also if the state itself is not there any more: then nothing is damaged,
/// but the view is old, and what it rests on was folded away.
pub(super) fn rescue(
    io: &Arc<LedgerIo>,
    state: &StateAt,
    keys: (Bound<&[u8]>, Bound<&[u8]>),
    lost: LedgerError,
) -> Result<Rows, LedgerError> {
    match as_it_was(io, state).and_then(|view| view.range(keys.0, keys.1)) {
        Err(error) if error.is_damage() => {
            let root = io.key("state", state.seq);
            let is_old = matches!(io.home().open(&root), Err(ObjectError::NotFound(_)));
            Err(if is_old { LedgerError::Home(ObjectError::NotFound(root)) } else { lost })
        }
        rows => rows,
    }
}

/// All rows at the entry of a state, without that state.
fn as_it_was(io: &Arc<LedgerIo>, state: &StateAt) -> Result<View, LedgerError> {
    let mut view = View::new(io.clone(), older_state(io, state.seq)?);
    while view.seq() < state.seq {
        let next = view.seq() + 1;
        match io.read_entry(next)? {
            Some((entry, digest)) if entry.previous == view.last() => view.apply(entry.changes, digest),
            _ => return Err(io.gap(next)),
        }
    }
    if state.last == Some(view.last()) { Ok(view) } else { Err(io.gap(state.seq)) }
}

/// The newest state before an entry that can be read, or the empty one.
fn older_state(io: &Arc<LedgerIo>, seq: u64) -> Result<StateAt, LedgerError> {
    for number in io.numbers("state")?.into_iter().rev().filter(|number| *number < seq) {
        match io.read_state(number) {
            Err(error) if error.is_damage() => {}
            state => return state,
        }
    }
    Ok(StateAt::default())
}
