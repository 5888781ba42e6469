//! The first version of the protocol: `backstay/1`.
//!
//! ```text
//!   agent                                   server
//!   Hello ────────────────────────────────▶
//!                                        ◀─ Welcome | Refused
//!   Boundary | Status ────────────────────▶
//!                                        ◀─ At | Status
//!   CatchUp | Protect | Pass ─────────────▶
//!        per segment:                    ◀─ Look
//!        Offer | Failed ──────────────────▶
//!                                        ◀─ Fetch
//!        Frames ──────────────────────────▶
//!        of Protect, at the end:         ◀─ AskVerdict
//!        Verdict ─────────────────────────▶
//!                                        ◀─ CaughtUp | Made | Passed | Refused
//!   Follow, Pass..., Publish | SetDown ───▶
//!                                        ◀─ Following, Passed..., Made | CaughtUp | Refused
//!   Lacks ────────────────────────────────▶
//!                                        ◀─ Lacking | Refused
//!        between passes: Absent ──────────▶
//!                                        ◀─ Passed | Refused
//!                        LookUp ──────────▶
//!                                        ◀─ Found | Refused
//! ```
//!
//! One request at a time; segments of one request are under way together. To stop, either end closes the link: what was stored is
//! found again, and a point appears whole or not at all.

use serde::{Deserialize, Serialize};

use super::few::{few, few_of_few};
use crate::rows::gap::{Cause, Why};
use crate::rows::{DiskAt, Exclusion};
use crate::units::{DiskNo, Timestamp};

/// The name of the protocol, by which it is asked for.
pub const PROTOCOL: &[u8] = b"backstay/1";

/// Disks of a machine at most.
pub const DISKS: usize = 64;
/// Pages of a segment at most, and so the most chunks, frames and pieces of one.
pub const SEGMENT: usize = 1024;
/// Choices that leave something out of a disk, and causes of a gap, at most.
pub const FEW: usize = 1024;
/// Ranges of pages of a disk in one pass at most.
pub const RANGES: usize = 1 << 20;
/// Rules by which an agent leaves something out, at most: a matcher of each is held while they are looked up.
pub const RULES: usize = 64;
/// Bytes of such a rule at most.
pub const RULE: usize = 1024;
/// Ranges of pages of all disks together that a server tells in one list at most.
pub const TOLD: usize = 1 << 17;

/// A range of pages: the first, and the one after the last.
pub type Pages = (u64, u64);

/// What an agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToServer {
    /// First of all.
    Hello {
        /// What runs there, for people.
        program: String,
    },
    /// Where does the timeline end?
    Boundary,
    /// Is anything wanted?
    Status,
    /// Compare these disks with the timeline, and put down what differs.
    CatchUp(Task),
    /// The same, and make a point of it.
    Protect(Task),
    /// What a point by [`ToServer::Protect`] is to say of itself.
    Verdict {
        /// Whether nothing wrote meanwhile.
        still: bool,
        /// For each disk: what its file looks like.
        #[serde(deserialize_with = "few::<DISKS, _, _>")]
        stamps: Vec<Vec<u8>>,
    },
    /// Begin a point that goes on from where a span ends.
    Follow {
        /// The number at which the span ends.
        number: u64,
        /// The disks, by their numbers, in the order in which passes speak of them.
        #[serde(deserialize_with = "few::<DISKS, _, _>")]
        disks: Vec<u32>,
    },
    /// These pages may have changed.
    Pass {
        /// Of each disk that has any, by its place in [`ToServer::Follow`].
        #[serde(deserialize_with = "few_of_few::<DISKS, RANGES, _, _, _>")]
        changed: Vec<(u32, Vec<Pages>)>,
    },
    /// Nothing uses these pages any more: they need not be looked at. As in [`ToServer::Pass`], and answered like it.
    Absent {
        /// By the disk's place in [`ToServer::Follow`].
        #[serde(deserialize_with = "few_of_few::<DISKS, RANGES, _, _, _>")]
        pages: Vec<(u32, Vec<Pages>)>,
    },
    /// Which pages does the timeline lack by choice?
    Lacks {
        /// As in [`ToServer::Follow`].
        number: u64,
        /// As in [`ToServer::Follow`].
        #[serde(deserialize_with = "few::<DISKS, _, _>")]
        disks: Vec<u32>,
    },
    /// What do rules come to on the disks, as they are by what passes found?
    LookUp {
        /// As people write them.
        #[serde(deserialize_with = "few::<RULES, _, _>")]
        rules: Vec<String>,
    },
    /// Make the point.
    Publish(Told),
    /// Make no point, but keep what passes found.
    SetDown,
    /// Make no point.
    Abandon,
    /// No points are promised from now on.
    PromiseNothing,
    /// What a segment holds.
    Offer {
        /// Which segment.
        segment: u64,
        /// Runs of pages that are alike.
        #[serde(deserialize_with = "few::<SEGMENT, _, _>")]
        state: Vec<(PageKind, u16)>,
        /// The chunks of the data: names, and lengths in pages.
        #[serde(deserialize_with = "few::<SEGMENT, _, _>")]
        chunks: Vec<([u8; 32], u8)>,
        /// So many pages behind its last one are [`PageKind::Absent`], too: they need not be asked for.
        absent_behind: u64,
    },
    /// A segment cannot be read.
    Failed {
        /// Which segment.
        segment: u64,
        /// Why.
        why: String,
    },
    /// The chunks that were wanted. The body: the frames' bytes, one after the other.
    Frames {
        /// Of which segment.
        segment: u64,
        /// For each frame: how many chunks, how many bytes, whether compressed.
        #[serde(deserialize_with = "few::<SEGMENT, _, _>")]
        frames: Vec<(u16, u32, bool)>,
    },
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    /// To [`ToServer::Hello`].
    Welcome {
        /// The machine's name.
        machine: String,
        /// The store's id.
        store: [u8; 16],
        /// Decides where chunks are cut.
        cut: [u8; 32],
        /// Names chunks.
        name: [u8; 32],
        /// Level of zstd for frames.
        level: i32,
        /// Pages of a frame.
        frame_pages: u32,
    },
    /// To [`ToServer::Boundary`].
    At(Option<BoundaryTold>),
    /// To [`ToServer::Status`].
    Status {
        /// Points are not wanted now: since when, until when, and why.
        suspended: Option<(i64, i64, String)>,
    },
    /// Read a segment.
    Look {
        /// The name it has from now on.
        segment: u64,
        /// Which disk, by its place in the request.
        disk: u32,
        /// Its pages.
        #[serde(deserialize_with = "few::<SEGMENT, _, _>")]
        pieces: Vec<Pages>,
    },
    /// None of the chunks of a segment is wanted, so forget them; there is no answer. Not said of one without chunks.
    Forget {
        /// Which segment.
        segment: u64,
    },
    /// Send these chunks of a segment, of which there is at least one, and forget the others.
    Fetch {
        /// Which segment.
        segment: u64,
        /// For each chunk, in order.
        #[serde(deserialize_with = "few::<SEGMENT, _, _>")]
        wanted: Vec<bool>,
    },
    /// All was read: what is the point to say of itself?
    AskVerdict,
    /// To [`ToServer::CatchUp`] and [`ToServer::SetDown`].
    CaughtUp(BoundaryTold),
    /// To [`ToServer::Follow`].
    Following {
        /// The number that the point will have, if nobody is quicker.
        next: u64,
        /// When it was begun: what it is known again by.
        begun: i64,
    },
    /// To [`ToServer::Lacks`]: of each disk, in order; not all, should there be more than [`TOLD`].
    Lacking {
        /// By its place in the request.
        #[serde(deserialize_with = "few_of_few::<DISKS, TOLD, _, _, _>")]
        disks: Vec<(u32, Vec<Pages>)>,
    },
    /// To [`ToServer::LookUp`]: of each disk.
    Found {
        /// In the order of [`ToServer::Follow`].
        #[serde(deserialize_with = "few::<DISKS, _, _>")]
        disks: Vec<FoundTold>,
    },
    /// To [`ToServer::Pass`].
    Passed {
        /// Extents that the point holds in memory.
        extents: u64,
        /// Pages that passes found.
        changed: u64,
        /// Bytes that they added to packs.
        stored: u64,
    },
    /// To [`ToServer::Protect`] and [`ToServer::Publish`]: the point is safe.
    Made(MadeTold),
    /// Done, with nothing to tell.
    Done,
    /// It cannot be done.
    Refused {
        /// What kind of reason it is.
        kind: Refusal,
        /// One sentence, for people.
        why: String,
    },
}

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PageKind {
    /// Nothing uses it.
    Absent,
    /// It holds zeros.
    Zero,
    /// It holds something else.
    Data,
    /// It cannot be read.
    Unreadable,
    /// It is left out by choice.
    Excluded,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The timeline does not end where the agent thinks: begin anew.
    Overtaken,
    /// The store is full.
    NoSpace,
    /// The store cannot be reached.
    Store,
    /// The server ends, or another connection of this machine took over.
    Ending,
    /// Not allowed.
    Denied,
    /// Anything else.
    Other,
}

/// A rescan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The disks, all of them.
    #[serde(deserialize_with = "few::<DISKS, _, _>")]
    pub disks: Vec<DiskTold>,
    /// For people.
    pub note: String,
    /// The agent's clock: the server counts its other times from here, so that clocks need not agree.
    pub now: i64,
    /// Nanoseconds until the next point; 0: nothing is promised.
    pub every: u64,
    /// Why there was no point lately.
    #[serde(deserialize_with = "few::<FEW, _, _>")]
    pub causes: Vec<CauseTold>,
}

/// A disk to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskTold {
    /// Its name.
    pub name: String,
    /// Where it is read from.
    pub origin: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of a sector.
    pub sector: u32,
    /// Bytes in use, as far as is known.
    pub used: u64,
    /// The choices by which some of it is left out, and bytes that they name.
    #[serde(deserialize_with = "few::<FEW, _, _>")]
    pub exclusions: Vec<(String, u64)>,
}

/// What rules come to on a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundTold {
    /// Pages that hold nothing but files that are left out; not all, should there be more than [`TOLD`].
    #[serde(deserialize_with = "few::<TOLD, _, _>")]
    pub excluded: Vec<Pages>,
    /// Pages that must be read: in use, lacked by the timeline, and not left out any more. Others may be among them.
    #[serde(deserialize_with = "few::<TOLD, _, _>")]
    pub lacking: Vec<Pages>,
    /// The rules that name something, by their places in the request, and bytes that they name.
    #[serde(deserialize_with = "few::<RULES, _, _>")]
    pub met: Vec<(u32, u64)>,
    /// Where less is left out than might be, for people.
    #[serde(deserialize_with = "few::<FEW, _, _>")]
    pub doubts: Vec<String>,
}

/// What kept points from being made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseTold {
    /// From when on.
    pub since: i64,
    /// Why.
    pub why: WhyTold,
    /// In words.
    pub text: String,
}

/// As [`Why`], but for what only a server can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as Why")]
pub enum WhyTold {
    Unknown,
    Suspended,
    Busy,
    Store,
    Rescan,
    Slow,
    Clock,
    Failed,
}

/// What a point is to say of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The agent's clock, as in [`Task::now`].
    pub now: i64,
    /// The moment it shows.
    pub time: i64,
    /// Whether the disks held still at that moment.
    pub still: bool,
    /// For how long those who write to them were held still for it, in nanoseconds; 0: nobody was.
    pub held: u64,
    /// For people.
    pub note: String,
    /// For each disk: what the program that made the point keeps of it.
    #[serde(deserialize_with = "few::<DISKS, _, _>")]
    pub stamps: Vec<Vec<u8>>,
    /// Nanoseconds until the next point.
    pub every: u64,
    /// Why there was no point lately.
    #[serde(deserialize_with = "few::<FEW, _, _>")]
    pub causes: Vec<CauseTold>,
}

/// Where a span ends, and the disks there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryTold {
    /// The machine's id.
    pub machine: [u8; 16],
    /// Its name.
    pub name: String,
    /// When it was first protected.
    pub created: i64,
    /// The number that its next new disk gets.
    pub next_disk: u32,
    /// The number that its next point gets.
    pub next_point: u64,
    /// The number at which the span ends.
    pub number: u64,
    /// When the making of the point of that number began, if it is one.
    pub begun: Option<i64>,
    /// The disks.
    #[serde(deserialize_with = "few::<DISKS, _, _>")]
    pub disks: Vec<DiskAtTold>,
}

/// A disk at a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskAtTold {
    /// Its number.
    pub disk: u32,
    /// What it was captured as.
    pub told: DiskTold,
    /// Pages that could not be read.
    pub unreadable: u64,
    /// Pages that nothing used.
    pub absent: u64,
    /// Pages left out by choice.
    pub excluded: u64,
    /// What the program that made the point kept of it.
    pub stamp: Vec<u8>,
}

/// A point that is safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeTold {
    /// Where its span ends.
    pub at: BoundaryTold,
    /// The moment it shows.
    pub time: i64,
    /// When its making began.
    pub started: i64,
    /// When it was safe.
    pub committed: i64,
    /// Whether the disks held still.
    pub still: bool,
    /// For people.
    pub note: String,
    /// Bytes that were read for it.
    pub read: u64,
    /// Pages that had changed.
    pub changed: u64,
    /// Bytes that it added to the store.
    pub stored: u64,
    /// As in [`Told::held`].
    pub held: u64,
    /// Its map could not go on from the one before.
    pub started_over: bool,
}

impl From<&DiskAt> for DiskAtTold {
    fn from(at: &DiskAt) -> Self {
        DiskAtTold {
            disk: at.disk.0,
            told: DiskTold {
                name: at.name.clone(),
                origin: at.source.clone(),
                size: at.size,
                sector: at.sector,
                used: 0,
                exclusions: at.exclusions.iter().map(|e| (e.rule.clone(), e.bytes)).collect(),
            },
            unreadable: at.unreadable,
            absent: at.absent,
            excluded: at.excluded,
            stamp: at.stamp.clone(),
        }
    }
}

impl From<DiskAtTold> for DiskAt {
    fn from(at: DiskAtTold) -> Self {
        let DiskTold { name, origin, size, sector, exclusions, .. } = at.told;
        DiskAt {
            disk: DiskNo(at.disk),
            name,
            source: origin,
            size,
            sector,
            unreadable: at.unreadable,
            absent: at.absent,
            excluded: at.excluded,
            stamp: at.stamp,
            exclusions: exclusions.into_iter().map(|(rule, bytes)| Exclusion { rule, bytes }).collect(),
        }
    }
}

impl From<&Cause> for CauseTold {
    fn from(cause: &Cause) -> Self {
        let why = match cause.why {
            Why::Unknown => WhyTold::Unknown,
            Why::Suspended => WhyTold::Suspended,
            Why::Busy => WhyTold::Busy,
            Why::Store => WhyTold::Store,
            Why::Rescan => WhyTold::Rescan,
            Why::Slow => WhyTold::Slow,
            Why::Clock => WhyTold::Clock,
            Why::Failed => WhyTold::Failed,
        };
        CauseTold { since: cause.since.0, why, text: cause.text.clone() }
    }
}

impl From<CauseTold> for Cause {
    fn from(told: CauseTold) -> Self {
        let why = match told.why {
            WhyTold::Unknown => Why::Unknown,
            WhyTold::Suspended => Why::Suspended,
            WhyTold::Busy => Why::Busy,
            WhyTold::Store => Why::Store,
            WhyTold::Rescan => Why::Rescan,
            WhyTold::Slow => Why::Slow,
            WhyTold::Clock => Why::Clock,
            WhyTold::Failed => Why::Failed,
        };
        Cause { since: Timestamp(told.since), why, text: told.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    /// The bytes of a message, so that another program can be written from this.
    #[test]
    fn written_as_the_page_says() {
        let head = encode(&ToServer::Offer {
            segment: 300,
            state: vec![(PageKind::Data, 2), (PageKind::Zero, 1022)],
            chunks: vec![([7; 32], 2)],
            absent_behind: 5,
        });
        let golden = [&[44u8, 0, 0, 0, 15, 0xac, 2, 2, 2, 2, 1, 0xfe, 7, 1][..], &[7; 32], &[2, 5]].concat();
        assert_eq!(head, golden);
        let message = [&golden[..], b"body"].concat();
        let (decoded, body): (ToServer, &[u8]) = decode(&message).unwrap();
        assert!(matches!(decoded, ToServer::Offer { segment: 300, .. }) && body == b"body");
        (0..golden.len()).for_each(|len| assert!(decode::<ToServer>(&golden[..len]).is_err(), "{len} bytes"));
    }

    #[test]
    fn counts_that_lie_are_errors() {
        // An offer with 2^60 chunks.
        let head = [12u8, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
        let message = [&(head.len() as u32).to_le_bytes()[..], &head].concat();
        assert!(decode::<ToServer>(&message).is_err());
    }

    /// Two million empty lists are two million bytes, and would be 50 MB in memory.
    #[test]
    fn no_list_is_longer_than_it_may_be() {
        let stamps = |count| ToServer::Verdict { still: true, stamps: vec![Vec::new(); count] };
        let changed = |disks, ranges| ToServer::Pass { changed: vec![(0, vec![(0, 1); ranges]); disks] };
        let wanted = |count| ToAgent::Fetch { segment: 0, wanted: vec![true; count] };
        for fits in [stamps(DISKS), changed(DISKS, 3), changed(1, RANGES)] {
            assert!(decode::<ToServer>(&encode(&fits)) == Ok((fits, &[])));
        }
        for long in [stamps(DISKS + 1), stamps(2_000_000), changed(DISKS + 1, 0), changed(1, RANGES + 1)] {
            assert!(decode::<ToServer>(&encode(&long)).is_err());
        }
        assert!(decode::<ToAgent>(&encode(&wanted(SEGMENT))).is_ok());
        assert!(decode::<ToAgent>(&encode(&wanted(SEGMENT + 1))).is_err());
    }
}
