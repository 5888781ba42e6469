//! How much was simulated, so that a green run can be told from an idle one.
//!
//! Never knows: what is good or bad.

use std::fmt;
use std::ops::AddAssign;

macro_rules! tally {
    ($($(#[$doc:meta])* $field:ident),+ $(,)?) => {
        /// Counts of what happened in runs.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Tally {
            $($(#[$doc])* pub $field: u64,)+
        }

        impl AddAssign for Tally {
            fn add_assign(&mut self, other: Tally) {
                $(self.$field += other.$field;)+
            }
        }

        impl fmt::Display for Tally {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let counts = [$((stringify!($field), self.$field),)+];
                counts.iter().try_for_each(|(name, count)| writeln!(f, "{:>12} {}", count, name.replace('_', " ")))
            }
        }
    };
}

tally! {
    /// Runs.
    runs,
    /// Steps of runs: something done by one process or by two at once.
    steps,
    /// Operations on homes.
    operations,
    /// Points made.
    points_made,
    /// Captures of which it was not known whether they made a point.
    points_in_doubt,
    /// Points made, or tried to, of what had changed.
    followed,
    /// Rescans from which a machine was followed.
    caught_up,
    /// Times a machine was followed further after the process that did it had died.
    recalled,
    /// Times that changed pages were read for a point.
    passes,
    /// Images of points in the making that were compared with what the points were to be.
    images_compared,
    /// Suspensions of machines.
    suspensions,
    /// Gaps that were told as they must be, each time that somebody looked.
    gaps_told,
    /// Points dropped.
    points_dropped,
    /// Acts by two processes at once.
    acts_at_once,
    /// Acts refused for what another process did meanwhile.
    conflicts,
    /// Acts that failed because of faults.
    failed_acts,
    /// Power losses.
    power_losses,
    /// Processes killed.
    kills,
    /// Puts that found no space.
    puts_without_space,
    /// Operations that failed.
    failed_operations,
    /// Bits flipped.
    bits_flipped,
    /// Blocks overwritten by misdirected writes.
    blocks_overwritten,
    /// Objects torn.
    objects_torn,
    /// Puts undone by a power loss.
    puts_lost,
    /// Deletions undone by a power loss.
    deletions_undone,
    /// Runs whose ledger was damaged beyond what can be made good.
    ledgers_lost,
    /// Points compared with the model, disk by disk.
    points_compared,
    /// Pages that were named as unreadable because packs were damaged.
    pages_named,
    /// Packs deleted by reclaim.
    packs_reclaimed,
    /// Packs written anew by reclaim.
    packs_shrunk,
    /// Objects without packs deleted by reclaim.
    orphans_deleted,
    /// Runs in which ledgers were folded into states.
    runs_with_states,
    /// Steps in which packs were put together in one object.
    bundles,
    /// Runs that the independent reader judged.
    witnessed,
    /// Sessions of agents.
    sessions,
    /// Messages of agents and servers.
    messages,
    /// Links cut at a message.
    links_cut,
    /// Messages that went nowhere while their sender thought the link to live.
    messages_swallowed,
    /// Times that a server's patience ran out.
    patience_lost,
    /// Messages of a hostile agent that were doubled, swapped, lost or mangled.
    messages_mangled,
    /// Connections of an agent while an older one of its own lived.
    second_sessions,
    /// Servers that died at work.
    servers_dead,
    /// Points of which an agent learned only later that they are safe.
    learned_later,
}
